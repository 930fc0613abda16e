"""What scripts/import_model.py does."""

from __future__ import annotations

import argparse

from softdpu.dataset import labels
from softdpu.own_model.adapt import adapt
from softdpu.own_model.network import network
from softdpu.training.batches import make_repeatable
from softdpu.training.common import Data, finish


def import_model(args: argparse.Namespace) -> None:
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
