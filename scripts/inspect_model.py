"""Tell for each layer of a float or quantized Keras model where it runs on a board, and what to change there.

Example:
    python scripts/inspect_model.py build/float_model/float_model.h5 --target zcu102 --output build/inspection.json
"""

from __future__ import annotations

from softdpu.commands import inspect as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
