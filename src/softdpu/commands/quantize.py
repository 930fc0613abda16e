"""What scripts/quantize.py takes and does."""

from __future__ import annotations

import argparse

from softdpu.commands import calibration as calibration_options
from softdpu.commands import options
from softdpu.commands.fields import pick
from softdpu.commands.values import seed
from softdpu.training.quantization import Quantization, quantize


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what quantization takes; `run` of the parsed arguments runs it."""
    parser.add_argument("--model", required=True, help="the float .h5 model")
    options.add_data(parser)
    calibration_options.add_calibration(parser)
    parser.add_argument("--output", required=True, help="path of the quantized .h5 model")
    parser.add_argument("--seed", type=seed, default=1, help="of whatever is random in the quantizer (default: 1)")
    options.add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Quantize as the arguments say."""
    calibration = calibration_options.read_calibration(args)
    quantize(pick(Quantization, args, data=options.read_data(args), calibration=calibration))
