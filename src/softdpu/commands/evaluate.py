"""What scripts/evaluate.py takes and does."""

from __future__ import annotations

import argparse

from softdpu.commands import calibration as calibration_options
from softdpu.commands import options
from softdpu.commands.fields import pick
from softdpu.training.quantization import Evaluation, evaluate_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what evaluation takes; `run` of the parsed arguments runs it."""
    parser.add_argument("--model", required=True, help="the .h5 model")
    options.add_data(parser, train=False)
    calibration_options.add_quantizer(parser)
    parser.add_argument("--output", required=True, help="path of the JSON file")
    parser.add_argument("--reference", metavar="H5", help="--task none: the float model to compare outputs with")
    options.add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate as the arguments say."""
    evaluate_model(pick(Evaluation, args, data=options.read_data(args)))
