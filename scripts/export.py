r"""Write a quantized network as QDQ ONNX or .tflite; see docs/exports.md.

Example:
    python scripts/export.py build/quant_ft_model/quant_ft.h5 --format xint8 --check --records build/tfrec_val \
        --report build/export/mobilenet.xint8.onnx.json --output build/export/mobilenet.xint8.onnx
"""

from __future__ import annotations

from softdpu.commands import export as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
