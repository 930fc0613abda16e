"""Mean average precision, by pycocotools alone."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any, Sequence  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu.dataset.box_labels import Boxes
from softdpu.errors import SoftdpuError


@dataclass(frozen=True)
class Judged:
    """One image with its true boxes and those that were found.

    Attributes:
        height, width: of the image, in pixels.
        truth: the boxes of its label file.
        found: float32[n, 6], left, top, right, bottom in pixels of the image, score, class.
    """

    height: float
    width: float
    truth: Boxes
    found: np.ndarray


def average_precision(images: Sequence[Judged], classes: int) -> dict[str, Any]:
    """Return {"map50", "map50_95": 0..1, "images", "boxes": counts, "per_class": AP50-95 of each class or None}.

    As for COCO: 100 boxes an image at most, boxes of all sizes, overlaps of 0.5 to 0.95. A class without a true box has
    None and does not count.

    Raises:
        SoftdpuError: if there is no true box, or pycocotools is not there.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise SoftdpuError("mAP is measured by the package pycocotools: pip install pycocotools") from None
    boxes = sum(len(one.truth.classes) for one in images)
    if not boxes:
        raise SoftdpuError("there is no box in the labels of the images to validate with, so there is nothing to find")
    truth, found = COCO(), _as_results(images)
    truth.dataset = _as_coco(images, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        if not len(found):  # which loadRes does not take
            nothing = [None if not _has(images, kind) else 0.0 for kind in range(classes)]
            return {"map50": 0.0, "map50_95": 0.0, "images": len(images), "boxes": boxes, "per_class": nothing}
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # overlaps, recalls, classes; all sizes, 100 boxes an image
    means = [float(one[one > -1].mean()) if (one > -1).any() else None for one in np.moveaxis(precision, 2, 0)]
    return {
        "map50": float(judge.stats[1]),
        "map50_95": float(judge.stats[0]),
        "images": len(images),
        "boxes": boxes,
        "per_class": means,
    }


def _has(images: Sequence[Judged], kind: int) -> bool:
    return any((one.truth.classes == kind).any() for one in images)


def _as_coco(images: Sequence[Judged], classes: int) -> dict[str, Any]:
    """Return the true boxes as a COCO json; ids are counted from 1, for pycocotools takes 0 for none."""
    annotations: list[dict[str, Any]] = []
    for i, one in enumerate(images, 1):
        corners = one.truth.corners.astype(np.float64) * [one.width, one.height, one.width, one.height]
        for (left, top, right, bottom), kind, crowd in zip(corners, one.truth.classes, one.truth.crowds):  # noqa: B905
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": int(kind) + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": int(crowd),
                }
            )
    return {
        "info": {},
        "images": [{"id": i, "height": one.height, "width": one.width} for i, one in enumerate(images, 1)],
        "annotations": annotations,
        "categories": [{"id": kind + 1, "name": str(kind)} for kind in range(classes)],
    }


def _as_results(images: Sequence[Judged]) -> np.ndarray:
    """Return float64[n, 7] as pycocotools takes it: image, left, top, width, height, score, category."""
    rows = []
    for i, one in enumerate(images, 1):
        found = one.found.astype(np.float64)
        sides = found[:, 2:4] - found[:, :2]
        rows.append(np.column_stack([np.full(len(found), i), found[:, :2], sides, found[:, 4], found[:, 5] + 1]))
    return np.concatenate(rows)
