r"""Fine-tune a float model with int8 fake quantization (QAT) and evaluate it; writes metrics.json beside the model.

Example:
    python scripts/finetune.py --model build/float_model/float_model.h5 --train-records build/tfrec_train \
        --val-records build/tfrec_val --epochs 1 --output build/quant_ft_model/quant_ft.h5
"""

from __future__ import annotations

from softdpu.commands import finetune as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
