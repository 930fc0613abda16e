"""The boxes of an image as training and evaluation take them: of one shape for every image, in the network's input."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.dataset.box_labels import Boxes, unpack
from softdpu.dataset.example import Record
from softdpu.dataset.targets import Targets
from softdpu.detection.decoders import fit_frame

MOST = 500  # boxes of an image
NOTHING, PLACE = -1.0, -2.0  # where a class stands


class BoxTargets(Targets):
    """float32[1 + MOST, 6] for each image: left, top, right, bottom in shares of the input, class, crowd.

    The first row is the place of the image itself in the input, with PLACE for its class; rows without a box have
    NOTHING.
    """

    shape = (1 + MOST, 6)
    dtype = np.float32

    def __init__(self, classes: int, size: tuple[int, int], fit: str) -> None:
        """Take boxes of so many classes, for an input of `size`, height and width in pixels."""
        self._classes, self._size, self._fit = classes, size, fit

    def load(self, record: Record) -> np.ndarray:
        """Return the boxes of a record; raises ValueError if it holds others, too many, or the fit cuts them."""
        boxes = unpack(record.target, self._classes)
        if len(boxes.classes) > MOST:
            raise ValueError(f"it has {len(boxes.classes)} boxes, at most {MOST} are taken")
        height, width = self._size
        frame = fit_frame(self._size, (record.height, record.width), self._fit)
        scale = np.array(frame[:2] * 2) * np.array([record.width, record.height] * 2) / np.array([width, height] * 2)
        first = np.array(frame[2:] * 2) / np.array([width, height] * 2)
        rows = np.full(self.shape, NOTHING, np.float32)
        rows[0] = [*(np.array([0, 0, 1, 1]) * scale + first), PLACE, 0]
        rows[1 : 1 + len(boxes.classes), :4] = boxes.corners * scale + first
        rows[1 : 1 + len(boxes.classes), 4] = boxes.classes
        rows[1 : 1 + len(boxes.classes), 5] = boxes.crowds
        return rows

    def flip(self, targets: np.ndarray, flips: np.ndarray) -> np.ndarray:
        """Return the boxes of images of which some are flipped left to right."""
        flipped = targets.copy()
        flipped[..., 0], flipped[..., 2] = 1 - targets[..., 2], 1 - targets[..., 0]
        there = (targets[..., 4:5] != NOTHING) & flips[:, None, None]
        return np.where(there, flipped, targets)


def split(rows: Any) -> tuple[np.ndarray, Boxes]:
    """Return of the rows of one image the place of the image, float32[4], and its boxes, in shares of the input."""
    there = rows[rows[:, 4] >= 0]
    return rows[0, :4], Boxes(there[:, :4], there[:, 4].astype(np.int64), there[:, 5] > 0)
