"""The options of the quantizer and its calibration, and what they become."""

from __future__ import annotations

import argparse

from softdpu.commands.fields import pick
from softdpu.commands.options import add_trust
from softdpu.commands.values import positive
from softdpu.training import whose_quantizer
from softdpu.training.quantization import Calibration


def add_quantizer(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the quantizer."""
    parser.add_argument(
        "--quantizer",
        choices=whose_quantizer.CHOICES,
        default=whose_quantizer.SOFTDPU,
        help="whose quantizer: softdpu's, or AMD's vai_q_tensorflow2, in AMD's environment (default: softdpu)",
    )
    add_trust(parser)


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibration."""
    parser.add_argument(
        "--calib-images", type=positive, default=256, help="training images to calibrate with (default: 256)"
    )
    parser.add_argument("--calib-batch", type=positive, default=32, help="images per calibration batch (default: 32)")
    parser.add_argument(
        "--recipe", help="corrections before quantization that softdpu's quantizer has; 'vitis' does what AMD's does"
    )
    add_quantizer(parser)


def read_calibration(args: argparse.Namespace) -> Calibration:
    """Return what the options of `add_calibration` say."""
    return pick(Calibration, args, recipe_of_quantizer=args.recipe)
