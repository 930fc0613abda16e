"""The float network from records: training all of it, or only its head on features that are computed once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softdpu.dataset.pipeline import share
from softdpu.output.files import PathLike, write_text
from softdpu.output.progress import Steps
from softdpu.training import setup as setups
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.common import Data, finish, train_batches, val_batches
from softdpu.training.feeding import Feed
from softdpu.training.fit import fit
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.model import Network
from softdpu.training.prospects import say_prospects
from softdpu.training.results import HISTORY
from softdpu.training.setup import Setup, Surroundings
from softdpu.training.task import TrainingTask
from softdpu.training.tasks.classification import Classification

COPIES = 8  # of the training images, each with other augmentations, whose features are kept


class Features(NamedTuple):
    """What a frozen base gives for some images: float32[n, channels], and their int64[n] labels."""

    values: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class FloatTraining:
    """A float network to train.

    Attributes:
        output: path of the .h5 file.
        tensorboard: folder for its logs.
        data: the records.
        network: what it looks like before training.
        hyperparameters: the numbers of the training.
        surroundings: what it runs on.
        cache_features: as in `train`.
    """

    output: PathLike
    tensorboard: PathLike
    data: Data
    network: Network
    hyperparameters: Hyperparameters
    surroundings: Surroundings = Surroundings()  # noqa: RUF009 - frozen
    cache_features: bool = False


def train_float(job: FloatTraining) -> None:
    """Train the float network; writes the model, and beside it metrics.json, CSV files and model_summary.txt."""
    hyperparameters, size, classes = job.hyperparameters, job.network.size, job.network.classes
    setup = setups.begin(job, hyperparameters, job.surroundings)
    say_prospects(job.data.training_folder(), classes, hyperparameters, job.network.weights is not None)
    task = job.data.find_task()
    model = task.build(job.network)
    targets = task.targets(model)
    data = train_batches(job.data, size, targets, hyperparameters)
    val = val_batches(job.data, size, targets, hyperparameters.threads, hyperparameters.val_images)
    folder = Path(job.output).parent
    train(model, data, val, hyperparameters, job.cache_features, job.tensorboard, folder / HISTORY, setup, task)
    del data, val  # their images, before the validation images are read
    if setup.devices.chief:
        lines: list[str] = []
        model.summary(print_fn=lambda line, **_: lines.append(line))
        write_text(folder / "model_summary.txt", "\n".join(lines) + "\n")
        finish(model, job.data, job.output, size, "float model", hyperparameters.threads)
    setup.end()


def train(
    model: keras.Model,
    train_data: KerasBatches,
    val_data: KerasBatches,
    hyperparameters: Hyperparameters,
    cache_features: bool,
    logs: PathLike,
    history: PathLike | None = None,
    setup: Setup = Setup(),  # noqa: B008 - frozen
    task: TrainingTask = Classification(),  # noqa: B008 - it holds nothing
) -> None:
    """Train a new network in place.

    Args:
        model: of model.build_mobilenet for classification, with or without a frozen base.
        train_data: KerasBatches.
        val_data: KerasBatches to choose the best epoch by.
        hyperparameters: the numbers.
        cache_features: with a frozen base, compute what the head sees once, then train the head alone: the same
            training in a fraction of the time. With augmentation it sees the images of the first COPIES epochs in turn.
        logs: folder for TensorBoard.
        history: path of a CSV file of each epoch's numbers, None for none.
        setup: devices, precision and checkpoints.
        task: what the network is for.
    """
    if not cache_features or task.name != "classification" or model.get_layer("conv1").trainable:
        fit(task.trained(model), train_data, val_data, hyperparameters, logs, history=history, setup=setup, task=task)
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
    copies = min(COPIES, hyperparameters.epochs) if hyperparameters.augmentation.any() else 1
    train_features = FeatureBatches(
        compute_features(base, train_data, copies), train_data.batch_size, hyperparameters.seed
    )
    val_features = FeatureBatches(compute_features(base, val_data), val_data.batch_size)
    fit(head, train_features, val_features, hyperparameters, logs, history=history, setup=setup)
    logits.set_weights(head.get_layer("logits").get_weights())


def compute_features(base: Any, data: KerasBatches, copies: int = 1) -> list[Features]:
    """Return what the base gives for all images, as they are in each of the first epochs.

    Args:
        base: the frozen part of a network.
        data: the images.
        copies: number of epochs, which differ by their augmentation.
    """
    feed, found = Feed(data, first_epoch=0), []
    batches = iter(Steps("features", copies * feed.batches, announce=True).count(feed.dataset))
    with feed.raises():
        for _ in range(copies):
            features, labels = [], []
            for _ in range(feed.batches):
                images, some_labels = next(batches)
                features.append(np.asarray(base.predict_on_batch(images)))
                labels.append(some_labels.numpy())
            found.append(Features(np.concatenate(features), np.concatenate(labels)))
    return found


class FeatureBatches:
    """Batches of arrays in memory, one copy of them for each epoch in turn; shuffled anew in each if there is a seed.

    Attributes:
        shape: of one input.
        batch_size: in inputs.
        images: of one epoch.
    """

    def __init__(self, copies: list[Features], batch_size: int, seed: int | None = None) -> None:
        features, labels = copies[0]
        self.shape, self.batch_size, self.images = features.shape[1:], batch_size, len(labels)
        self._copies, self._seed, self._epoch = copies, seed, 0

    def __len__(self) -> int:
        return -(-self.images // self.batch_size)

    def part(self, i: int, number: int = 0, parts: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
        """Return features and labels of part `number` of batch `i`, and the size of the whole batch."""
        order = np.arange(self.images)
        if self._seed is not None:
            order = np.random.default_rng([self._seed, self._epoch]).permutation(self.images)
        batch = order[i * self.batch_size : (i + 1) * self.batch_size]
        chosen = batch[share(len(batch), number, parts)]
        features, labels = self._copies[self._epoch % len(self._copies)]
        return features[chosen], labels[chosen], len(batch)

    def start(self, epoch: int) -> None:
        """Go to an epoch, counted from 0."""
        self._epoch = epoch
