"""Masks: a class for every pixel, as records hold them and as the input pipeline hands them on."""

from __future__ import annotations

import cv2
import numpy as np

from softdpu.dataset import preprocess
from softdpu.dataset.example import Record
from softdpu.dataset.targets import Targets
from softdpu.numbers.segmentation import IGNORED

MOST_CLASSES = IGNORED


def encode(mask: np.ndarray) -> bytes:
    """Return uint8[h, w] as the bytes of a PNG."""
    return cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def decode(data: bytes) -> np.ndarray:
    """Return the uint8[h, w] of what `encode` made.

    Raises:
        ValueError: if it is no such mask.
    """
    try:
        preprocess.refuse_too_large(data, preprocess.MOST_PIXELS)
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except (ValueError, cv2.error):
        mask = None
    if mask is None or mask.ndim != 2 or mask.dtype != np.uint8:
        raise ValueError("the record holds no mask; make the records again with task: segmentation")
    return mask


class Masks(Targets):
    """A mask for each image, uint8[n, height, width], at the size of the network's output."""

    dtype = np.uint8

    def __init__(self, height: int, width: int, classes: int) -> None:
        """Take masks to a size in pixels, nearest pixel, and check them against a number of classes."""
        self.shape = (height, width)
        self._classes = classes

    def load(self, record: Record) -> np.ndarray:
        """Return the mask of a record."""
        mask = decode(record.target)
        if mask.shape != self.shape:
            mask = cv2.resize(mask, (self.shape[1], self.shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)
        wrong = mask[(mask >= self._classes) & (mask != IGNORED)]
        if wrong.size:
            raise ValueError(
                f"the mask has the class {wrong[0]}, the model has 0 to {self._classes - 1}; the model and the records"
                " do not fit"
            )
        return mask

    def flip(self, targets: np.ndarray, flips: np.ndarray) -> np.ndarray:
        """Return the masks with those of flipped images flipped too."""
        return np.where(flips[:, None, None], targets[:, :, ::-1], targets)
