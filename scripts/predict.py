"""Predict how fast a model runs on a board: cycles of each layer, what bounds it, frames/s with intervals.

Example:
    python scripts/predict.py build/compiled_model_zcu102/mobilenet.xmodel --target zcu102 --output build/predict.json
"""

from __future__ import annotations

from softdpu.commands import predict as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
