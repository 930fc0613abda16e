"""What is right for an image, as training and evaluation get it: its label, or what a task makes of its record."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.dataset.example import Record


class Targets:
    """What is right for each image of a batch, `dtype`[n, *shape]; derived classes say what that is.

    Attributes:
        shape: of what is right for one image.
        dtype: numpy's type of it.
    """

    shape: tuple[int, ...] = ()
    dtype: Any = np.int64

    def load(self, record: Record) -> Any:
        """Return what is right for the image of a record.

        Raises:
            ValueError: if the record does not say it, or says what cannot be; the message names no file.
        """
        raise NotImplementedError

    def flip(self, targets: np.ndarray, flips: np.ndarray) -> np.ndarray:
        """Return what is right once the images for which bool[n] `flips` holds are flipped left to right."""
        return targets


class Labels(Targets):
    """The label of an image."""

    def __init__(self, classes: int | None = None) -> None:
        """Check labels against a number of classes; None does not check."""
        self._classes = classes

    def load(self, record: Record) -> int:
        """Return the label."""
        if self._classes is not None and not 0 <= record.label < self._classes:
            raise ValueError(
                f"the label must be 0 to {self._classes - 1}, it is {record.label}; the model's classes and the records"
                " do not fit"
            )
        return record.label
