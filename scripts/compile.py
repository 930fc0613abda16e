r"""Compile a quantized Keras model to an .xmodel for a board.

Example:
    python scripts/compile.py --model build/quant_ft_model/quant_ft.h5 --target zcu102 \
        --output build/compiled_model_zcu102/mobilenet.xmodel --summary build/compiled_model_zcu102/summary.json
"""

from __future__ import annotations

from softdpu.commands import compile as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
