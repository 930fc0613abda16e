"""The task segmentation: a class for each pixel, and how well the masks fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.dataset.masks import Masks
from softdpu.errors import SoftdpuError
from softdpu.keras2 import replicas
from softdpu.numbers.segmentation import IGNORED, count_pixels, measure
from softdpu.output.files import PathLike, whole_file
from softdpu.output.progress import Steps
from softdpu.training.batches import keras, tf
from softdpu.training.feeding import Feed
from softdpu.training.model import Network
from softdpu.training.segmenter import build_unet
from softdpu.training.task import TrainingTask

SHOWN = 6  # images whose masks the report draws


class Segmentation(TrainingTask):
    """Cross entropy over the logits of each pixel, and mean intersection over union."""

    name = "segmentation"
    watched = "mean_iou"

    def check(self, model: keras.Model, path: PathLike) -> None:
        """Refuse a model that does not give a vector for each pixel."""
        shape = model.output_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] < 2:
            raise SoftdpuError(f"{path} gives {shape}; task segmentation needs (height, width, classes) (model.file)")

    def targets(self, model: keras.Model) -> Masks:
        """Return masks of the size of the model's output."""
        _, height, width, classes = model.output_shape
        return Masks(height, width, classes)

    def build(self, network: Network) -> keras.Model:
        """Return a small U-Net."""
        return build_unet(network)

    def loss(self, label_smoothing: float) -> Any:
        """Return the mean cross entropy of the pixels that count."""
        return lambda masks, logits: cross_entropy(masks, logits, label_smoothing)

    def metrics(self, model: keras.Model) -> list[Any]:
        """Return the share of right pixels, and the mean intersection over union."""
        return [accuracy, MeanOverlap(model.output_shape[-1])]

    def evaluate(
        self, model: keras.Model, batches: Any, predictions: PathLike | None = None, reference: Any = None
    ) -> dict[str, Any]:
        """Return {"mean_iou", "accuracy", "iou" (by class), "loss", "images"}, the loss in float64.

        `predictions` is the path of an .npz: places int64[n] of some images among all, truth and found uint8[n, h, w].
        """
        classes = int(model.output_shape[-1])
        matrix = np.zeros((classes, classes), np.int64)
        shown = set((np.arange(SHOWN) * batches.images // SHOWN).tolist())
        kept: list[tuple[int, np.ndarray, np.ndarray]] = []
        loss, count = 0.0, 0
        feed = Feed(batches)
        with feed.raises():
            for images, some_masks in Steps("evaluate", feed.batches).count(feed.dataset):
                logits, masks = np.asarray(model.predict_on_batch(images)), some_masks.numpy()
                found = logits.argmax(axis=-1).astype(np.uint8)
                matrix += count_pixels(masks, found, classes)
                loss += _sum_loss(logits, masks)
                kept += [(count + i, masks[i], found[i]) for i in range(len(masks)) if count + i in shown]
                count += len(masks)
        if predictions is not None:
            places, truth, found = (np.array([one[i] for one in kept]) for i in range(3))
            with whole_file(predictions) as part, open(part, "wb") as file:
                np.savez_compressed(file, places=places, truth=truth, found=found)
        return {**measure(matrix), "loss": loss / max(int(matrix.sum()), 1), "images": count}

    def describe(self, metrics: dict[str, Any]) -> str:
        """Return mean intersection over union, share of right pixels and loss."""
        values = f"mean IoU {metrics['mean_iou']:.4f}, pixel accuracy {metrics['accuracy']:.4f}"
        return f"{values}, loss {metrics['loss']:.4f}, {metrics['images']} images"


def _sum_loss(logits: np.ndarray, masks: np.ndarray) -> float:
    """Return the sum of the cross entropy over the pixels that count."""
    counted = masks != IGNORED
    rows, labels = logits[counted].astype(np.float64), masks[counted].astype(np.int64)
    shifted = rows - rows.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]).sum())


def cross_entropy(masks: tf.Tensor, logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Return the mean cross entropy over the pixels that count, on several devices of the whole batch.

    Args:
        masks: uint8[n, h, w].
        logits: float[n, h, w, classes].
        label_smoothing: share of each label that is spread over all classes.
    """
    wanted = tf.one_hot(tf.cast(masks, tf.int32), tf.shape(logits)[-1])  # zeros where a pixel does not count
    each = keras.losses.categorical_crossentropy(wanted, logits, from_logits=True, label_smoothing=label_smoothing)
    counted = tf.cast(tf.not_equal(tf.cast(masks, tf.int32), IGNORED), each.dtype)
    total, pixels = tf.reduce_sum(each * counted), tf.reduce_sum(counted)
    if tf.distribute.has_strategy():
        total, pixels = replicas.total(total), replicas.total(pixels)
    return total / tf.maximum(pixels, 1.0)


def accuracy(masks: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the share of right pixels of a batch."""
    wanted = tf.cast(masks, tf.int64)
    counted = tf.not_equal(wanted, IGNORED)
    right = tf.logical_and(tf.equal(tf.argmax(logits, axis=-1), wanted), counted)
    return tf.reduce_sum(tf.cast(right, tf.float32)) / tf.maximum(tf.reduce_sum(tf.cast(counted, tf.float32)), 1.0)


class MeanOverlap(keras.metrics.MeanIoU):
    """Keras' mean intersection over union, of logits, without the pixels that do not count."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes, name="mean_iou")
        self._classes = classes

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Count the pixels of masks [n, h, w] and logits [n, h, w, classes] in."""
        wanted = tf.reshape(tf.cast(y_true, tf.int64), [-1])
        counted = tf.cast(tf.not_equal(wanted, IGNORED), tf.float32)
        found = tf.reshape(tf.argmax(y_pred, axis=-1), [-1])
        return super().update_state(tf.minimum(wanted, self._classes - 1), found, counted)
