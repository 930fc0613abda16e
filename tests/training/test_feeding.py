"""Batches through tf.data are the batches, epoch by epoch, and what goes wrong with one is said in its own words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softdpu.dataset.pipeline import Augmentation
from softdpu.errors import SoftdpuError
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.devices import Devices
from softdpu.training.feeding import Feed
from softdpu.training.fit import fit
from softdpu.training.float_model import FeatureBatches, compute_features
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.tasks.classification import evaluate


def equal(found: tuple, expected: tuple) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(one), other)


@pytest.mark.parametrize("cache_mib", [0, 100])
def test_one_pass_is_every_batch_once(colours: Path, cache_mib: int) -> None:
    batches = KerasBatches(colours / "val", 32, 25, cache_mib=cache_mib)
    feed = Feed(batches)
    assert feed.batches == 3 and feed.dataset.cardinality().numpy() == 3
    for _ in range(2):
        for found, i in zip(feed.dataset, range(3), strict=True):
            equal(found, batches.part(i)[:2])


def test_training_goes_through_the_epochs_from_where_it_starts(colours: Path) -> None:
    how = {"seed": 3, "augmentation": Augmentation(flip=True, brightness=0.1)}
    plain = KerasBatches(colours / "train", 32, 60, **how)
    elements = iter(Feed(KerasBatches(colours / "train", 32, 60, **how), first_epoch=2).dataset)
    for epoch in (2, 3, 4):
        plain.start(epoch)
        for i in range(3):
            equal(next(elements), plain.part(i)[:2])


def test_features_in_memory_are_fed_the_same_way() -> None:
    data = np.arange(14, dtype=np.float32).reshape(7, 2), np.arange(7)
    plain = FeatureBatches([data], 3, seed=5)
    elements = iter(Feed(FeatureBatches([data], 3, seed=5), first_epoch=0).dataset)
    orders = []
    for epoch in (0, 1):
        plain.start(epoch)
        orders.append(np.concatenate([plain.part(i)[1] for i in range(3)]).tolist())
        for i in range(3):
            equal(next(elements), plain.part(i)[:2])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(7)) and orders[0] != orders[1]


def test_each_copy_of_the_features_has_its_epoch() -> None:
    copies = [(np.full((4, 2), i, np.float32), np.full(4, i)) for i in range(3)]
    batches = FeatureBatches(copies, 3, seed=1)
    for epoch in range(7):
        batches.start(epoch)
        assert [(part[0].max(), part[1].max(), part[2]) for part in map(batches.part, (0, 1))] == [
            (epoch % 3, epoch % 3, 3),
            (epoch % 3, epoch % 3, 1),
        ]


def test_features_are_those_of_the_augmented_images(colours: Path) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    base = keras.Model(image, keras.layers.Flatten()(image))
    how = {"seed": 3, "augmentation": Augmentation(flip=True)}
    found = compute_features(base, KerasBatches(colours / "train", 32, 60, **how), copies=2)
    plain = KerasBatches(colours / "train", 32, 60, **how)
    for epoch in (0, 1):
        plain.start(epoch)
        images, labels = (np.concatenate([plain[i][k] for i in range(3)]) for k in (0, 1))
        np.testing.assert_array_equal(found[epoch][0], images.reshape(149, -1))
        np.testing.assert_array_equal(found[epoch][1], labels)


def test_a_wrong_label_is_said_in_one_line(colours: Path) -> None:
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image)))
    good = KerasBatches(colours / "val", 32, 20)
    bad = KerasBatches(colours / "val", 32, 20, classes=2, cache_mib=0)
    for call in (
        lambda: evaluate(model, bad),
        lambda: fit(model, bad, good, Hyperparameters(epochs=1)),
        lambda: fit(model, good, bad, Hyperparameters(epochs=1)),
    ):
        with pytest.raises(SoftdpuError, match=r"data_0.tfrecord, the record at byte \d+: the label must be 0 to 1"):
            call()


def test_a_batch_smaller_than_the_devices_is_refused(colours: Path) -> None:
    class Strategy:
        num_replicas_in_sync = 4

    with pytest.raises(SoftdpuError, match="a batch of 3 images cannot be shared out to 4 devices"):
        Feed(KerasBatches(colours / "val", 32, 3), Devices(Strategy()))
