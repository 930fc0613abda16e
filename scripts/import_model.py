r"""Take a trained classifier, .h5, .keras or .onnx, as the float model, and evaluate it; writes metrics.json beside it.

Example:
    python scripts/import_model.py --model my.keras --val-records build/tfrec_val --labels build/tfrec_val/labels.txt \
        --scaling unit --output build/float_model/float_model.h5
"""

from __future__ import annotations

from softdpu.commands import import_model as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
