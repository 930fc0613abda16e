"""The float network from records: training all of it, or only its head on features that are computed once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.dataset.pipeline import share
from softdpu.output.files import PathLike, write_text
from softdpu.training import recipe as recipes
from softdpu.training import setup as setups
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.common import finish, train_batches, val_batches
from softdpu.training.fit import fit
from softdpu.training.model import mobilenet
from softdpu.training.recipe import Recipe
from softdpu.training.results import HISTORY
from softdpu.training.setup import Setup


def train_float(args: argparse.Namespace) -> None:
    """Train the float network; writes the model, and beside it metrics.json, CSV files and model_summary.txt."""
    recipe = recipes.from_arguments(args)
    setup = setups.begin(args, recipe)
    model = mobilenet(
        args.classes, args.size, args.alpha, args.dropout, args.weights, args.freeze_base, args.bn_momentum
    )
    data = train_batches(args, args.size, args.classes, recipe)
    val = val_batches(args, args.size, args.classes, recipe.threads, recipe.val_images)
    history = Path(args.output).parent / HISTORY
    train(model, data, val, recipe, args.cache_features, args.tensorboard, history, setup)
    del data, val  # their images, before the validation images are read
    if setup.devices.chief:
        lines: list[str] = []
        model.summary(print_fn=lambda line, **_: lines.append(line))
        write_text(Path(args.output).parent / "model_summary.txt", "\n".join(lines) + "\n")
        finish(model, args, args.size, "float model", recipe.threads)
    setup.end()


def train(
    model: Any,
    train_data: KerasBatches,
    val_data: KerasBatches,
    recipe: Recipe,
    cache_features: bool,
    logs: PathLike,
    history: PathLike | None = None,
    setup: Setup = Setup(),  # noqa: B008 - frozen
) -> None:
    """Train a network of model.mobilenet in place.

    Args:
        model: with or without a frozen base.
        train_data: KerasBatches.
        val_data: KerasBatches to choose the best epoch by.
        recipe: the numbers.
        cache_features: with a frozen base and no augmentation, compute what the head sees once, then train the head
            alone: the same training in a fraction of the time.
        logs: folder for TensorBoard.
        history: path of a CSV file of each epoch's numbers, None for none.
        setup: devices, precision and checkpoints.
    """
    frozen = not model.get_layer("conv1").trainable
    if not (frozen and cache_features) or recipe.augmentation.any():
        fit(model, train_data, val_data, recipe, logs, history=history, setup=setup)
        return
    dropout, logits = model.get_layer("dropout"), model.get_layer("logits")
    base = keras.Model(model.input, dropout.input)
    head = keras.Sequential(
        [
            keras.layers.InputLayer(dropout.input.shape[1:]),
            keras.layers.Dropout(dropout.rate),
            keras.layers.Dense(logits.units, name="logits"),
        ]
    )
    head.get_layer("logits").set_weights(logits.get_weights())
    features = [
        _features(base, data, "features of " + what) for data, what in ((train_data, "train"), (val_data, "val"))
    ]
    train_features = FeatureBatches(features[0], recipe.batch_size, recipe.seed)
    fit(
        head, train_features, FeatureBatches(features[1], recipe.batch_size), recipe, logs, history=history, setup=setup
    )
    logits.set_weights(head.get_layer("logits").get_weights())


def _features(base: Any, data: KerasBatches, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what the base gives for all images of one epoch, float32[n, channels], and int64[n] labels."""
    print(what)
    bar = keras.utils.Progbar(len(data), unit_name="batch")
    features, labels = [], []
    for i in range(len(data)):
        images, some_labels = data[i]
        features.append(np.asarray(base.predict_on_batch(images)))
        labels.append(some_labels)
        bar.update(i + 1)
    return np.concatenate(features), np.concatenate(labels)


class FeatureBatches(keras.utils.Sequence):
    """Batches of arrays in memory; shuffled anew in each epoch if there is a seed."""

    def __init__(self, data: tuple[np.ndarray, np.ndarray], batch_size: int, seed: int | None = None) -> None:
        self._features, self._labels = data
        self._batch_size, self._seed, self._epoch = batch_size, seed, 0

    def __len__(self) -> int:
        return -(-len(self._labels) // self._batch_size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.part(i)[:2]

    def part(self, i: int, number: int = 0, parts: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
        """Return features and labels of part `number` of batch `i`, and the size of the whole batch."""
        order = np.arange(len(self._labels))
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(len(order))
        batch = order[i * self._batch_size : (i + 1) * self._batch_size]
        chosen = batch[share(len(batch), number, parts)]
        return self._features[chosen], self._labels[chosen], len(batch)

    def on_epoch_end(self) -> None:
        """Go to the next epoch."""
        self.start(self._epoch + 1)

    def start(self, epoch: int) -> None:
        """Go to an epoch, counted from 0."""
        self._epoch = epoch
