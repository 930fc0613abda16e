"""The options that name a DPU, and what they become."""

from __future__ import annotations

import argparse

from softdpu.numbers import boards


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what names a DPU; `choose_target` reads it."""
    add = parser.add_argument
    add("--target", help=f"board: {', '.join(boards.list_targets())}")
    add("--vitis-ai", metavar="VERSION", help="of the board's image, such as 3.0 (default: the board's usual one)")
    add("--fingerprint", help="of another DPU than the board's usual one, such as 0x101000056010407")
    add("--arch", metavar="JSON", help="arch.json of another DPU than the board's usual one")


def choose_target(args: argparse.Namespace) -> boards.Target:
    """Return the target that the options of `add_target_arguments` name.

    Raises:
        SoftdpuError: as boards.choose_target.
    """
    return boards.choose_target(args.target, args.vitis_ai, args.fingerprint, args.arch)
