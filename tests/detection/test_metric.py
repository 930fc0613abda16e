"""mAP as pycocotools has it: cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from softdpu.dataset.box_labels import as_boxes
from softdpu.detection.metric import Judged, average_precision
from softdpu.errors import SoftdpuError


def image(truth, found):
    rows = [(*(value / 100 for value in corners), kind, crowd) for corners, kind, crowd in truth]
    table = np.array([(*corners, score, kind) for corners, score, kind in found], np.float32).reshape(-1, 6)
    return Judged(100, 100, as_boxes(rows), table)


A, B = (10, 10, 50, 50), (60, 60, 90, 90)


def test_boxes_at_their_places_are_all():
    metrics = average_precision([image([(A, 0, 0), (B, 1, 0)], [(A, 0.9, 0), (B, 0.8, 1)]), image([], [])], 3)
    assert [metrics["map50"], metrics["map50_95"]] == [pytest.approx(1)] * 2
    assert metrics["images"] == 2 and metrics["boxes"] == 2
    assert metrics["per_class"] == [pytest.approx(1), pytest.approx(1), None]


def test_half_of_them_and_another_class():
    metrics = average_precision([image([(A, 0, 0), (B, 0, 0)], [(A, 0.9, 0), (B, 0.99, 1)])], 2)
    assert metrics["map50"] == pytest.approx(51 / 101)  # recalls 0, 0.01 .. 0.5 of 101 have precision 1
    none = average_precision([image([(A, 0, 0)], [])], 2)
    assert (none["map50"], none["map50_95"], none["per_class"]) == (0, 0, [0, None])


def test_overlap_decides():
    # 40x40 moved by 4 columns: 36*40 of 44*40 in common, 0.818: the overlaps 0.5 to 0.8 are passed, 7 of 10
    moved = (14, 10, 54, 50)
    metrics = average_precision([image([(A, 0, 0)], [(moved, 0.9, 0)])], 1)
    assert metrics["map50"] == pytest.approx(1) and metrics["map50_95"] == pytest.approx(0.7)


def test_crowds_are_not_asked_for():
    metrics = average_precision([image([(A, 0, 0), (B, 0, 1)], [(A, 0.8, 0), (B, 0.9, 0)])], 1)
    assert metrics["map50"] == pytest.approx(1)


def test_no_boxes_at_all():
    with pytest.raises(SoftdpuError, match="no box in the labels"):
        average_precision([image([], [(A, 0.9, 0)])], 1)
