r"""Fine-tune a float model with int8 fake quantization (QAT) and evaluate it; writes metrics.json beside the model.

Example:
    python scripts/finetune.py --model build/float_model/float_model.h5 --train-records build/tfrec_train \
        --val-records build/tfrec_val --epochs 1 --output build/quant_ft_model/quant_ft.h5
"""

from __future__ import annotations

import argparse

from softdpu.commands import finetune
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and fine-tune."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    finetune.add_arguments(parser)
    finetune.run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
