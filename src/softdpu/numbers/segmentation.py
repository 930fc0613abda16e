"""How well masks fit: the matrix of pixels by true and found class, and what is read off it."""

from __future__ import annotations

from typing import Any

import numpy as np

IGNORED = 255  # a pixel of this class does not count


def count_pixels(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Return int64[classes, classes]: pixels by true class (rows) and found class; those of IGNORED are left out.

    Args:
        truth: whole numbers below `classes`, or IGNORED.
        found: whole numbers below `classes`, of the same shape.
        classes: how many there are.
    """
    counted = truth != IGNORED
    places = truth[counted].astype(np.int64) * classes + found[counted]
    return np.bincount(places.ravel(), minlength=classes * classes).reshape(classes, classes)


def find_overlaps(matrix: np.ndarray) -> list[float | None]:
    """Return the intersection over union of each class, 0..1; None for one that is neither there nor found.

    Source: true / (true + wrongly found + missed), as in the PASCAL VOC challenge.
    """
    right = np.diag(matrix)
    union = matrix.sum(axis=0) + matrix.sum(axis=1) - right
    return [float(right[i] / union[i]) if union[i] else None for i in range(len(matrix))]


def measure(matrix: np.ndarray) -> dict[str, Any]:
    """Return {"mean_iou", "accuracy" (share of right pixels), "iou" (by class, None for one without pixels)}."""
    overlaps = find_overlaps(matrix)
    known = [one for one in overlaps if one is not None]
    total = int(matrix.sum())
    accuracy = float(np.trace(matrix) / total) if total else 0.0
    return {"mean_iou": float(np.mean(known)) if known else 0.0, "accuracy": accuracy, "iou": overlaps}
