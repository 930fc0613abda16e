"""The loss of the heads of YOLOv8: which cell learns which box, and how far it is from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.detection.network import BINS, STRIDES
from softdpu.detection.targets import NOTHING
from softdpu.keras2 import replicas
from softdpu.keras2.api import tf

_BEST = 10  # cells that learn one box
_SCORE_POWER, _OVERLAP_POWER = 0.5, 6.0
_BOX, _CLASS, _BINS = 7.5, 0.5, 1.5  # weights of the three parts
_TINY = 1e-9


class DetectionLoss:
    """The loss of a batch. Sources: task-aligned assignment, arXiv 2108.07755; complete IoU, arXiv 1911.08287;
    distribution focal loss, arXiv 2006.04388; with the numbers of YOLOv8.
    """

    def __init__(self, size: int, classes: int) -> None:
        """Make the loss of a network with a square input of `size` pixels."""
        self._classes = classes
        middles, strides = [], []
        for stride in STRIDES:
            count = size // stride
            rows, columns = np.mgrid[:count, :count].reshape(2, -1) + 0.5
            middles.append(np.stack([columns, rows], axis=1) * stride)
            strides.append(np.full((count * count, 1), stride))
        self._middles = tf.constant(np.concatenate(middles), tf.float32)  # [cells, 2], pixels
        self._strides = tf.constant(np.concatenate(strides), tf.float32)
        self._size = float(size)

    def __call__(self, truth: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
        """Return the loss, a number.

        Args:
            truth: float32[n, 1 + boxes, 6], as targets.BoxTargets has them.
            cells: float32[n, cells, 4 * BINS + classes], as network.as_cells has them.
        """
        boxes, kinds = self._read(truth)
        bins, corners, logits = self._decode(cells)
        chosen, weights = self._assign(boxes, kinds, tf.stop_gradient(corners), tf.stop_gradient(logits))
        wanted = tf.one_hot(tf.gather(kinds, chosen, batch_dims=1), self._classes) * weights[..., None]
        of_class = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits))
        box = tf.gather(boxes, chosen, batch_dims=1)
        of_box = tf.reduce_sum((1 - complete_overlap(corners, box)) * weights)
        sides = tf.concat([self._middles - box[..., :2], box[..., 2:] - self._middles], -1) / self._strides
        of_bins = tf.reduce_sum(_bins_loss(bins, sides) * weights)
        loss = _BOX * of_box + _CLASS * of_class + _BINS * of_bins
        return _of_batch(loss) / tf.maximum(_of_batch(tf.reduce_sum(weights)), 1.0)

    def quality(self, truth: tf.Tensor, cells: tf.Tensor) -> tf.Tensor:
        """Return the mean over the true boxes of the best score times overlap among the cells, 0..1."""
        boxes, kinds = self._read(truth)
        _, corners, logits = self._decode(cells)
        scores = tf.gather(tf.transpose(tf.sigmoid(logits), (0, 2, 1)), tf.maximum(kinds, 0), batch_dims=1)
        best = tf.reduce_max(scores * overlap(boxes[:, :, None], corners[:, None]), -1)
        there = tf.cast(kinds >= 0, tf.float32)
        return _of_batch(tf.reduce_sum(best * there)) / tf.maximum(_of_batch(tf.reduce_sum(there)), 1.0)

    def _read(self, truth: tf.Tensor) -> tuple[Any, Any]:
        """Return the boxes, float32[n, most, 4] in pixels, and their classes, -1 for none and for crowds."""
        kinds = tf.cast(tf.where(truth[:, 1:, 5] > 0, NOTHING, truth[:, 1:, 4]), tf.int32)
        most = tf.maximum(tf.reduce_max(tf.reduce_sum(tf.cast(truth[:, 1:, 4] >= 0, tf.int32), 1)), 1)
        return truth[:, 1 : 1 + most, :4] * self._size, kinds[:, :most]

    def _decode(self, cells: tf.Tensor) -> tuple[Any, Any, Any]:
        """Return bins, float32[n, cells, 4, BINS], the corners of boxes in pixels, and the logits of classes."""
        cells = tf.cast(cells, tf.float32)
        bins = tf.reshape(cells[..., : 4 * BINS], (-1, self._middles.shape[0], 4, BINS))
        distances = tf.reduce_sum(tf.nn.softmax(bins) * tf.range(BINS, dtype=tf.float32), -1) * self._strides
        corners = tf.concat([self._middles - distances[..., :2], self._middles + distances[..., 2:]], -1)
        return bins, corners, cells[..., 4 * BINS :]

    def _assign(self, boxes: tf.Tensor, kinds: tf.Tensor, corners: tf.Tensor, logits: tf.Tensor) -> tuple[Any, Any]:
        """Return for each cell the number of its box, int[n, cells], and its weight, 0 for cells without one."""
        inside = tf.concat(
            [self._middles - boxes[:, :, None, :2], boxes[:, :, None, 2:] - self._middles], -1
        )  # [n, boxes, cells, 4]
        allowed = tf.cast((tf.reduce_min(inside, -1) > _TINY) & (kinds >= 0)[..., None], tf.float32)
        scores = tf.gather(tf.transpose(tf.sigmoid(logits), (0, 2, 1)), tf.maximum(kinds, 0), batch_dims=1)
        overlaps = tf.maximum(overlap(boxes[:, :, None], corners[:, None]), 0.0) * allowed
        fits = scores**_SCORE_POWER * overlaps**_OVERLAP_POWER * allowed
        least = tf.math.top_k(fits, min(_BEST, self._middles.shape[0])).values[..., -1:]
        fits = tf.where(fits >= tf.maximum(least, _TINY), fits, 0.0)
        rivals = tf.where(fits > 0, overlaps, -1.0)
        chosen = tf.argmax(rivals, axis=1, output_type=tf.int32)  # of several boxes, the one that overlaps most
        fits *= tf.transpose(tf.one_hot(chosen, tf.shape(fits)[1]), (0, 2, 1))
        best = tf.reduce_max(fits, -1, keepdims=True)
        best_overlap = tf.reduce_max(tf.where(fits > 0, overlaps, 0.0), -1, keepdims=True)
        return chosen, tf.reduce_max(fits / (best + _TINY) * best_overlap, axis=1)


def _of_batch(total: tf.Tensor) -> tf.Tensor:
    """Return a sum over all of a batch, also where devices have parts of it."""
    return replicas.total(total) if tf.distribute.has_strategy() else total


def overlap(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Return the intersection over union of boxes, [..., 4] left, top, right, bottom."""
    common = tf.maximum(tf.minimum(one[..., 2:], other[..., 2:]) - tf.maximum(one[..., :2], other[..., :2]), 0.0)
    area = common[..., 0] * common[..., 1]
    return area / (_area(one) + _area(other) - area + _TINY)


def complete_overlap(found: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Return the overlap less how far the middles and the shapes are apart; only `found` gets a gradient of shapes."""
    value = overlap(found, wanted)
    around = tf.maximum(found[..., 2:], wanted[..., 2:]) - tf.minimum(found[..., :2], wanted[..., :2])
    apart = (found[..., :2] + found[..., 2:] - wanted[..., :2] - wanted[..., 2:]) / 2
    distance = tf.reduce_sum(apart**2, -1) / (tf.reduce_sum(around**2, -1) + _TINY)
    angles = [
        tf.atan((box[..., 2] - box[..., 0]) / (tf.maximum(box[..., 3] - box[..., 1], 0.0) + 1e-3))
        for box in (found, wanted)
    ]
    shape = 4 / np.pi**2 * (angles[0] - angles[1]) ** 2
    share = tf.stop_gradient(shape / (shape - value + 1 + 1e-7))
    return value - distance - share * shape


def _area(box: tf.Tensor) -> tf.Tensor:
    sides = tf.maximum(box[..., 2:] - box[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def _bins_loss(bins: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
    """Return the cross entropy of the two bins beside each distance, weighted by how near they are; [n, cells]."""
    sides = tf.clip_by_value(sides, 0.0, BINS - 1 - 0.01)
    below = tf.floor(sides)
    share = sides - below
    place = tf.cast(below, tf.int32)
    logs = tf.nn.log_softmax(bins)
    wanted = tf.one_hot(place, BINS) * (1 - share)[..., None] + tf.one_hot(place + 1, BINS) * share[..., None]
    return -tf.reduce_mean(tf.reduce_sum(wanted * logs, -1), -1)
