"""`softdpu package` and scripts/package.py: the folder for the SD card."""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.commands import options, values
from softdpu.commands.fields import pick
from softdpu.dataset import preprocess
from softdpu.package import card


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the card folder is made of; `run` of the parsed arguments makes it."""
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the compiled .xmodel")
    add("--records", type=Path, required=True, metavar="DIR", help="folder with the validation .tfrecord files")
    add(
        "--app",
        type=Path,
        required=True,
        help="the program for the board, such as target_src/app_mt.py; card.py and its helpers lie beside it",
    )
    add("--images", type=int, default=500, metavar="N", help="images on the card (default: 500)")
    add("--golden", type=int, default=4, metavar="N", help="images among them with golden vectors (default: 4)")
    add("--fit", choices=preprocess.ALL, default=preprocess.STRETCH, help="how a record becomes the input, as trained")
    values.add_scaling_argument(parser)
    options.add_task(parser)
    add("--network", type=Path, metavar="H5", help="task detection: the quantized model, for the order of its outputs")
    add("--target", required=True, help="name of the board, such as zcu102")
    add("--vitis-ai", metavar="VERSION", help="of the board's SD-card image, such as 3.0 (default: the board's usual)")
    add("--output", type=Path, required=True, metavar="DIR", help="the card folder, such as build/target_zcu102")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the card folder."""
    card.build_card(pick(card.Order, args))
