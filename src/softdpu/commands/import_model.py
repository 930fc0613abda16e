"""What scripts/import_model.py takes and does."""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu import tasks
from softdpu.commands import options
from softdpu.dataset import labels
from softdpu.own_model import height_and_width
from softdpu.own_model.adapt import adapt
from softdpu.own_model.network import network
from softdpu.training.batches import make_repeatable
from softdpu.training.common import finish, input_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the import takes; `run` of the parsed arguments runs it."""
    parser.add_argument("--model", type=Path, required=True, help="the .h5 of Keras 2 or 3, the .keras or the .onnx")
    options.add_data(parser, train=False)
    parser.add_argument("--labels", required=True, metavar="TXT", help="labels.txt of the records, a class a line")
    parser.add_argument(
        "--size",
        type=_read_size,
        default=(224, 224),
        metavar="N",
        help="of the input, where the file leaves it open: pixels of a square, or HEIGHTxWIDTH (default: 224)",
    )
    parser.add_argument(
        "--outputs", nargs="+", metavar="NAME", help="tensors or layers where the network ends (default: its own)"
    )
    parser.add_argument("--output", required=True, help="path of the float .h5 model")
    options.add_threads(parser)
    parser.set_defaults(run=run)


def _read_size(text: str) -> tuple[int, int]:
    height, width = height_and_width(text)
    if min(height, width) < 1:
        raise ValueError
    return height, width


def run(args: argparse.Namespace) -> None:
    """Bring args.model into the form of the build's float model and evaluate it; metrics.json stands beside it.

    Raises:
        SoftdpuError: if the file does not fit the task, or the classes of the records.
    """
    make_repeatable(0, args.threads)
    model = network(args.model, args.size, args.outputs, args.task)
    if args.fit == tasks.ARRAYS:
        taken = "arrays"
    else:
        model = adapt(model, args.model, args.task, labels.read(args.labels), args.scaling.bgr)
        taken = f"scaling {args.scaling.text()}"
    print(f"{args.model}: {len(model.layers)} layers, {model.count_params()} parameters, {taken}")
    size = input_size(model, args.model, args.fit)
    finish(model, options.read_data(args), args.output, size, "float model", args.threads)
