"""What scripts/train.py takes and does."""

from __future__ import annotations

import argparse

from softdpu.commands import options
from softdpu.commands.fields import pick
from softdpu.commands.values import count_lines, positive, share
from softdpu.training import copies
from softdpu.training.float_model import FloatTraining, train_float
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.model import BN_MOMENTUM, Network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what training takes; `run` of the parsed arguments runs it."""
    options.add_data(parser)
    parser.add_argument("--output", required=True, help="path of the .h5 file")
    parser.add_argument("--tensorboard", required=True, metavar="DIR", help="folder for TensorBoard's logs")
    classes = parser.add_mutually_exclusive_group(required=True)
    classes.add_argument("--classes", type=positive, help="number of classes")
    classes.add_argument(
        "--labels", type=count_lines, dest="classes", metavar="TXT", help="labels.txt of the records instead"
    )
    parser.add_argument("--size", type=positive, default=224, help="of the input, in pixels (default: 224)")
    parser.add_argument("--alpha", type=float, default=1.0, help="MobileNet's width (default: 1.0)")
    parser.add_argument("--dropout", type=float, default=0.001, help="before the head (default: 0.001)")
    parser.add_argument("--weights", help="'imagenet' or the path of an .h5 file (default: random weights)")
    parser.add_argument("--freeze-base", action="store_true", help="train the head alone")
    parser.add_argument(
        "--bn-momentum",
        type=share,
        default=BN_MOMENTUM,
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
    options.add_surroundings(parser)
    options.add_hyperparameters(parser, Hyperparameters())
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Train as the arguments say."""
    train_float(pick(FloatTraining, args, network=pick(Network, args), **options.read_training(args)))
