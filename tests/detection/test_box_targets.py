"""Boxes on their way into the network's input, and how far they come back."""

from __future__ import annotations

import numpy as np
import pytest

from softdpu.dataset.box_labels import as_boxes, pack
from softdpu.dataset.example import Record
from softdpu.detection import targets

BOXES = as_boxes([(0.0, 0.25, 0.5, 1.0, 1, False), (0.2, 0.2, 0.4, 0.3, 0, True)])


def record(height, width, boxes=BOXES):
    return Record(0, height, width, 3, b"", pack(boxes))


def test_letterboxed_images_and_flips():
    kind = targets.BoxTargets(2, (100, 200), "letterbox")
    rows = kind.load(record(50, 50))  # 100x100, from column 50 on
    np.testing.assert_allclose(rows[0], [0.25, 0, 0.75, 1, targets.PLACE, 0])
    np.testing.assert_allclose(rows[1], [0.25, 0.25, 0.5, 1, 1, 0])
    np.testing.assert_allclose(rows[2], [0.35, 0.2, 0.45, 0.3, 0, 1], atol=1e-6)
    assert (rows[3:] == targets.NOTHING).all() and rows.shape == kind.shape
    both = kind.flip(np.stack([rows, rows]), np.array([True, False]))
    np.testing.assert_array_equal(both[1], rows)
    np.testing.assert_allclose(both[0, 1], [0.5, 0.25, 0.75, 1, 1, 0])
    assert (both[0, 3:] == targets.NOTHING).all()
    place, boxes = targets.split(rows)
    assert boxes.classes.tolist() == [1, 0] and boxes.crowds.tolist() == [False, True]
    np.testing.assert_allclose(place, [0.25, 0, 0.75, 1])


def test_what_cannot_be_is_refused():
    stretched = targets.BoxTargets(2, (100, 200), "stretch")
    np.testing.assert_allclose(stretched.load(record(9, 7))[1, :4], BOXES.corners[0])
    with pytest.raises(ValueError, match="fit stretch or letterbox, got crop"):
        targets.BoxTargets(2, (100, 100), "crop").load(record(9, 7))
    with pytest.raises(ValueError, match="501 boxes, at most 500"):
        stretched.load(record(9, 7, as_boxes([(0, 0, 1, 1, 0, False)] * 501)))
    with pytest.raises(ValueError, match="a box has class 1, there are 1 classes"):
        targets.BoxTargets(1, (100, 200), "stretch").load(record(9, 7))
