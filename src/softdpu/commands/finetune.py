"""What scripts/finetune.py takes and does."""

from __future__ import annotations

import argparse

from softdpu.commands import calibration as calibration_options
from softdpu.commands import options
from softdpu.commands.fields import pick
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.quantization import FineTuning, finetune


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what fine-tuning takes; `run` of the parsed arguments runs it."""
    parser.add_argument("--model", required=True, help="the float .h5 model")
    options.add_data(parser)
    calibration_options.add_calibration(parser)
    parser.add_argument("--output", required=True, help="path of the deployable quantized .h5 model")
    parser.add_argument("--tensorboard", metavar="DIR", help="folder for TensorBoard's logs (default: none)")
    options.add_surroundings(parser)
    options.add_hyperparameters(parser, Hyperparameters(epochs=1, learning_rate=1e-4))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Fine-tune as the arguments say."""
    calibration = calibration_options.read_calibration(args)
    finetune(pick(FineTuning, args, calibration=calibration, **options.read_training(args)))
