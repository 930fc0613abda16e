r"""Fine-tune a float model with int8 fake quantization (QAT) and evaluate it; writes metrics.json beside the model.

Example:
    python scripts/finetune.py --model build/float_model/float_model.h5 --train-records build/tfrec_train \
        --val-records build/tfrec_val --epochs 1 --output build/quant_ft_model/quant_ft.h5
"""

from __future__ import annotations

import argparse

from softdpu.output.cli import program
from softdpu.training import common, quantization, recipe, setup


@program
def main() -> None:
    """Parse the command line and fine-tune."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the float .h5 model")
    common.add_data_arguments(parser)
    quantization.add_quantizer_arguments(parser)
    parser.add_argument("--output", required=True, help="path of the deployable quantized .h5 model")
    parser.add_argument("--tensorboard", metavar="DIR", help="folder for TensorBoard's logs (default: none)")
    setup.add_arguments(parser)
    recipe.add_arguments(parser, recipe.Recipe(epochs=1, learning_rate=1e-4))
    quantization.finetune(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
