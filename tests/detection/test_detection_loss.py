"""The loss against plain Python, and what it asks for."""

from __future__ import annotations

import math

import numpy as np
import pytest

from softdpu.detection import decoders
from softdpu.detection.loss import DetectionLoss, complete_overlap
from softdpu.detection.network import BINS, STRIDES, as_cells, detector
from softdpu.detection.targets import NOTHING, PLACE
from softdpu.errors import SoftdpuError
from softdpu.keras2.api import tf

SIZE, CLASSES = 64, 3
BOXES = [(0.1, 0.1, 0.5, 0.6, 0), (0.55, 0.5, 0.95, 0.9, 2), (0.6, 0.05, 0.8, 0.3, 1)]


def truth(*boxes, crowd=0):
    rows = np.full((1, 1 + 8, 6), NOTHING, np.float32)
    rows[0, 0] = [0, 0, 1, 1, PLACE, 0]
    for i, box in enumerate(boxes):
        rows[0, 1 + i] = [*box, crowd]
    return rows


def cells_of(boxes, sure):
    """Cells that say what is right: each inside of a box knows it, with logits of +-sure."""
    found = []
    for stride in STRIDES:
        for row in range(SIZE // stride):
            for column in range(SIZE // stride):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                cell = np.zeros(4 * BINS + CLASSES, np.float32)
                cell[4 * BINS :] = -sure
                for left, top, right, bottom, kind in boxes:
                    sides = [x - left * SIZE, y - top * SIZE, right * SIZE - x, bottom * SIZE - y]
                    if min(sides) > 0:
                        for i, side in enumerate(sides):
                            low = math.floor(side / stride)
                            bins = np.full(BINS, -30.0)
                            shares = (1 - side / stride + low, side / stride - low)
                            bins[low : low + 2] = [math.log(share) if share else -30 for share in shares]
                            cell[i * BINS : (i + 1) * BINS] = bins
                        cell[4 * BINS + kind] = sure
                found.append(cell)
    return np.stack(found)[None]


def test_what_is_right_costs_least():
    loss = DetectionLoss(SIZE, CLASSES)
    wanted, right = truth(*BOXES), cells_of(BOXES, 8)
    least = float(loss(wanted, right))
    assert float(loss.quality(wanted, right)) == pytest.approx(1, abs=0.01)
    unsure = right.copy()
    unsure[..., 4 * BINS + 1] = -8  # the box of class 1 is in its place, but none says so
    for other in (unsure, cells_of([(*b[:4], (b[4] + 1) % 3) for b in BOXES], 8)):
        assert float(loss(wanted, other)) > least + 0.1
    # Without its place too, so few cells learn it that which ones the rounding picks weighs as much.
    assert float(loss(wanted, cells_of(BOXES[:2], 8))) > least
    moved = cells_of([(b[0] + 0.04, b[1], b[2] + 0.04, b[3], b[4]) for b in BOXES], 8)
    assert float(loss(wanted, moved)) > least + 0.1
    meta = {"classes": list("abc"), "input": [SIZE, SIZE], "score": 0.5}
    outputs, start = [], 0
    for stride in STRIDES:
        count = SIZE // stride
        outputs.append(right[0, start : start + count**2].reshape(count, count, -1))
        start += count**2
    found = decoders.find_boxes(outputs, meta)
    assert sorted(map(tuple, found[:, [5]])) == [(0.0,), (1.0,), (2.0,)]
    for box in found:
        np.testing.assert_allclose(box[:4] / SIZE, next(b[:4] for b in BOXES if b[4] == box[5]), atol=1e-3)


def test_nothing_to_find_and_crowds():
    loss = DetectionLoss(SIZE, CLASSES)
    quiet, loud = cells_of([], 8), cells_of(BOXES, 8)
    assert float(loss(truth(), quiet)) < 0.1 < float(loss(truth(), loud))
    assert float(loss(truth(*BOXES, crowd=1), quiet)) == float(loss(truth(), quiet))
    assert float(loss.quality(truth(), quiet)) == 0


def test_a_row_of_nothing_changes_nothing():
    loss = DetectionLoss(SIZE, CLASSES)
    cells = np.random.default_rng(0).normal(0, 1, (2, 84, 4 * BINS + CLASSES)).astype(np.float32)
    wanted = np.concatenate([truth(*BOXES), truth(BOXES[0])])
    more = np.concatenate([wanted, np.full((2, 5, 6), NOTHING, np.float32)], axis=1)
    assert float(loss(wanted, cells)) == float(loss(more, cells))


def slow_complete_overlap(a, b):
    """1 - CIoU of arXiv 1911.08287, equation 10, term by term."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    value = common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)
    diagonal = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    distance = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (a, b)]
    v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    return value - distance / diagonal - v * v / ((1 - value) + v + 1e-12)


def test_complete_overlap_is_what_the_paper_says():
    rng = np.random.default_rng(2)
    boxes = np.sort(rng.uniform(0, 60, (2, 200, 2, 2)), axis=2)
    boxes[:, :, 1] += 3  # every box has an area
    one, other = boxes.reshape(2, 200, 4).astype(np.float32)
    found = complete_overlap(tf.constant(one), tf.constant(other)).numpy()
    expected = [slow_complete_overlap(a.tolist(), b.tolist()) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_gradients_are_numbers_where_boxes_have_no_area():
    loss = DetectionLoss(SIZE, CLASSES)
    start = np.zeros((1, 84, 4 * BINS + CLASSES), np.float32)
    start[..., 0 : 4 * BINS : BINS] = 99  # every distance is 0
    cells = tf.Variable(start)
    with tf.GradientTape() as tape:
        value = loss(truth(*BOXES), cells)
    assert np.isfinite(tape.gradient(value, cells).numpy()).all()


def test_the_detector_has_what_the_decoder_takes():
    model = detector(CLASSES, SIZE, width=0.25)
    outputs = model(np.zeros((1, SIZE, SIZE, 3), np.float32))
    meta = {"classes": list("abc"), "input": [SIZE, SIZE], "score": 0.5}
    assert len(decoders.find_boxes([np.asarray(one)[0] for one in outputs], meta)) == 0
    cells = as_cells(model)(np.zeros((1, SIZE, SIZE, 3), np.float32))
    first = np.concatenate([np.asarray(outputs[0])[0, 0, 0], np.asarray(outputs[1])[0, 0, 0]])
    np.testing.assert_array_equal(np.asarray(cells)[0, 0], first)
    assert cells.shape == (1, 84, 4 * BINS + CLASSES)
    with pytest.raises(SoftdpuError, match=r"multiple of 32 pixels, got 100 \(model.input_size\)"):
        detector(CLASSES, 100)
