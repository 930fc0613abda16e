"""What command-line options of several programs are read with."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """Read a whole number above 0; argparse tells the user otherwise."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return value


def share(text: str) -> float:
    """Read a number from 0 to 1; argparse tells the user otherwise."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {value}")
    return value
