"""Predict how fast a model runs on a board: cycles of each layer, what bounds it, frames/s with intervals.

Example:
    python scripts/predict.py build/compiled_model_zcu102/mobilenet.xmodel --target zcu102 --output build/predict.json
"""

from __future__ import annotations

import argparse

from softdpu.commands import predict
from softdpu.output.cli import program


@program
def main() -> int:
    """Parse the command line and predict."""
    parser = argparse.ArgumentParser(epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    predict.add_arguments(parser)
    args = parser.parse_args()
    return predict.run(args)


if __name__ == "__main__":
    raise SystemExit(main())
