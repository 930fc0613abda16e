r"""Quantize a float model to int8 after training (PTQ) and evaluate it; writes metrics.json beside the model.

Example:
    python scripts/quantize.py --model build/float_model/float_model.h5 --train-records build/tfrec_train \
        --val-records build/tfrec_val --calib-images 256 --output build/quant_model/quant_model.h5
"""

from __future__ import annotations

from softdpu.commands import quantize as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
