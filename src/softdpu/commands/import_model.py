"""What scripts/import_model.py takes and does."""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.commands import options
from softdpu.commands.values import positive
from softdpu.dataset import labels
from softdpu.own_model.adapt import adapt
from softdpu.own_model.network import network
from softdpu.training.batches import make_repeatable
from softdpu.training.common import Data, finish


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the import takes; `run` of the parsed arguments runs it."""
    parser.add_argument("--model", type=Path, required=True, help="the .h5 of Keras 2 or 3, the .keras or the .onnx")
    options.add_data(parser, train=False)
    parser.add_argument("--labels", required=True, metavar="TXT", help="labels.txt of the records, a class a line")
    parser.add_argument(
        "--size", type=positive, default=224, help="of the input, where the file leaves it open (default: 224)"
    )
    parser.add_argument("--outputs", nargs="+", metavar="NAME", help="tensors where an .onnx ends (default: its own)")
    parser.add_argument("--output", required=True, help="path of the float .h5 model")
    options.add_threads(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Bring args.model into the form of the build's float model and evaluate it; metrics.json stands beside it.

    Raises:
        SoftdpuError: if the file is no classifier of images, or one of other classes than the records'.
    """
    make_repeatable(0, args.threads)
    model = network(args.model, args.size, args.outputs)
    classes = len(labels.read(args.labels))
    model = adapt(model, args.model, classes, args.scaling.bgr)
    print(f"{args.model}: {len(model.layers)} layers, {model.count_params()} parameters, scaling {args.scaling.text()}")
    data = Data(args.val_records, None, args.fit, args.scaling)
    finish(model, data, args.output, int(model.input_shape[1]), "float model", args.threads)
