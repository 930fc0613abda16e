"""Tell for each layer of a float or quantized Keras model where it runs on a board, and what to change there.

Example:
    python scripts/inspect_model.py build/float_model/float_model.h5 --target zcu102 --output build/inspection.json
"""

from __future__ import annotations

import argparse

from softdpu.commands import inspect as inspect_command
from softdpu.output.cli import program


@program
def main() -> int:
    """Parse the command line and inspect."""
    parser = argparse.ArgumentParser(epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    inspect_command.add_arguments(parser)
    args = parser.parse_args()
    return inspect_command.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
