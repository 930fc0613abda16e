"""What command-line options of several programs are read with."""

from __future__ import annotations

import argparse

from softdpu.dataset import labels, preprocess
from softdpu.errors import SoftdpuError


def positive(text: str) -> int:
    """Read a whole number above 0; argparse tells the user otherwise."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def seed(text: str) -> int:
    """Read a seed, which numpy takes from 0 to 2**32 - 1; argparse tells the user otherwise."""
    value = int(text)
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"must be from 0 to {(1 << 32) - 1}, got {value}")
    return value


def count_lines(text: str) -> int:
    """Read the number of classes off the path of a labels.txt, a class a line; argparse tells the user otherwise."""
    try:
        return len(labels.read(text))
    except SoftdpuError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_scaling_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what the network's input is of a pixel."""
    parser.add_argument(
        "--scaling",
        type=_scaling,
        default=preprocess.TF,
        help="what the network takes for a pixel: tf (-1..1), unit (0..1), raw (0..255), torch or caffe (ImageNet's"
        " means taken off), or order:divisors:subtrahends, as in rgb:255,255,255:0.5,0.5,0.5 (default: tf)",
    )


def _scaling(text: str) -> preprocess.Scaling:
    try:
        return preprocess.scaling(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def share(text: str) -> float:
    """Read a number from 0 to 1; argparse tells the user otherwise."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {value}")
    return value
