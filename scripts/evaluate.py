r"""Evaluate a float or quantized .h5 model on all validation records and write its metrics as JSON.

Example:
    python scripts/evaluate.py --model build/quant_model/quant_model.h5 --val-records build/tfrec_val \
        --output build/quant_model/metrics.json
"""

from __future__ import annotations

from softdpu.commands import evaluate as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
