r"""Train MobileNet v1 on record files; keeps the best epoch as .h5 and writes metrics.json beside it.

Example:
    python scripts/train.py --train-records build/tfrec_train --val-records build/tfrec_val --classes 10 --size 64 \
        --alpha 0.25 --epochs 3 --output build/float_model/float_model.h5 --tensorboard build/tb_logs
"""

from __future__ import annotations

import argparse

from softdpu.dataset import options
from softdpu.output.cli import program
from softdpu.training import common, copies, float_model, model, recipe, setup


@program
def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common.add_data_arguments(parser)
    parser.add_argument("--output", required=True, help="path of the .h5 file")
    parser.add_argument("--tensorboard", required=True, metavar="DIR", help="folder for TensorBoard's logs")
    classes = parser.add_mutually_exclusive_group(required=True)
    classes.add_argument("--classes", type=options.positive, help="number of classes")
    classes.add_argument(
        "--labels", type=options.count_lines, dest="classes", metavar="TXT", help="labels.txt of the records instead"
    )
    parser.add_argument("--size", type=options.positive, default=224, help="of the input, in pixels (default: 224)")
    parser.add_argument("--alpha", type=float, default=1.0, help="MobileNet's width (default: 1.0)")
    parser.add_argument("--dropout", type=float, default=0.001, help="before the head (default: 0.001)")
    parser.add_argument("--weights", help="'imagenet' or the path of an .h5 file (default: random weights)")
    parser.add_argument("--freeze-base", action="store_true", help="train the head alone")
    parser.add_argument(
        "--bn-momentum",
        type=options.share,
        default=model.BN_MOMENTUM,
        help="how slowly BatchNormalization's means follow; 0.9 for short trainings (default: 0.99)",
    )
    parser.add_argument(
        "--cache-features",
        action="store_true",
        help="with --freeze-base and no augmentation: compute what the head sees once, then train in seconds",
    )
    parser.add_argument(
        "--mixed-precision",
        choices=copies.PRECISIONS,
        help="compute in 16 bits on a GPU; the model itself stays float32 (default: float32)",
    )
    setup.add_arguments(parser)
    recipe.add_arguments(parser, recipe.Recipe())
    float_model.train_float(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
