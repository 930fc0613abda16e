"""The task segmentation in training: loss and metrics against definitions, the network, what evaluation leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softdpu.dataset import drawn_shapes, make
from softdpu.errors import SoftdpuError
from softdpu.numbers.segmentation import count_pixels, measure
from softdpu.training import tasks
from softdpu.training.common import Data, val_batches
from softdpu.training.model import Network
from softdpu.training.tasks.segmentation import MeanOverlap, accuracy, cross_entropy


@pytest.fixture(scope="module")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (2, 4, 5)).astype(np.uint8)
    masks[0, 0] = 255
    return masks, rng.normal(0, 2, (2, 4, 5, 3)).astype(np.float32)


def test_the_loss_leaves_pixels_out_that_do_not_count(numbers: tuple[np.ndarray, np.ndarray]) -> None:
    masks, logits = numbers
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=-1, keepdims=True)
    each = [-np.log(shares[place][label]) for place, label in np.ndenumerate(masks) if label != 255]
    assert float(cross_entropy(masks, logits)) == pytest.approx(np.mean(each), rel=1e-5)


def test_metrics_of_an_epoch_are_those_of_evaluation(numbers: tuple[np.ndarray, np.ndarray]) -> None:
    masks, logits = numbers
    expected = measure(count_pixels(masks, logits.argmax(axis=-1), 3))
    overlap = MeanOverlap(3)
    overlap.update_state(masks, logits)
    assert float(overlap.result()) == pytest.approx(expected["mean_iou"], rel=1e-5)
    assert float(accuracy(masks, logits)) == pytest.approx(expected["accuracy"], rel=1e-5)


def test_evaluation_counts_all_pixels_and_keeps_some_masks(tmp_path: Path) -> None:
    drawn_shapes.draw("segmentation", tmp_path / "shapes", 2, 3, size=72)
    make.make(make.Choice("mask_folder", str(tmp_path / "shapes"), "val"), tmp_path / "val")
    task = tasks.find("segmentation", Data(tmp_path / "val", task="segmentation"))
    model = task.build(Network(4, 32, 0.25))
    batches = val_batches(Data(tmp_path / "val", task="segmentation"), 32, task.targets(model), 1)
    found = task.evaluate(model, batches, tmp_path / "predictions.npz")
    images, masks = batches[0]
    expected = measure(count_pixels(masks, model.predict_on_batch(images).argmax(axis=-1), 4))
    assert {key: found[key] for key in expected} == expected
    assert found["images"] == 3
    with np.load(tmp_path / "predictions.npz") as held:
        np.testing.assert_array_equal(held["truth"], masks)
        assert held["places"].tolist() == [0, 1, 2]
    with pytest.raises(SoftdpuError, match="multiple of 8 pixels, got 36"):
        task.build(Network(4, 36, 0.25))
