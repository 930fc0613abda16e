"""What a detector's card has beside its images, and mAP of the boxes that its app found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.dataset import box_labels, labels
from softdpu.dataset.example import Record
from softdpu.detection import settings
from softdpu.detection.metric import Judged, average_precision
from softdpu.detection.targets import BoxTargets, split
from softdpu.errors import SoftdpuError
from softdpu.keras2 import hdf5, structure
from softdpu.output import files
from softdpu.package.outputs import match
from softdpu.package.truths import Ordered, Truth
from softdpu.runtime import Engine

LABELS, SETTINGS = "labels.json", "detection.json"


class BoxTruth(Truth):
    """labels.json, the boxes of the images as COCO has them, and detection.json, how outputs become boxes."""

    def __init__(self, order: Ordered, engine: Engine) -> None:
        """Begin with no image.

        Raises:
            SoftdpuError: if the settings or the quantized model do not fit.
        """
        self._settings = settings.read(order.detection, labels.read_beside(order.records), order.fit)
        (source,) = engine.program.inputs
        self._size = (int(source.shape[1]), int(source.shape[2]))
        self._targets = BoxTargets(len(self._settings.classes), self._size, order.fit)
        tensors = [value.name for value in engine.program.outputs]
        names = name_outputs(order.network) if order.network else tensors
        nothing = [0] * max(len(names), len(tensors))  # sizes are not told in a file, so names decide
        places = match(names, nothing[: len(names)], tensors, nothing[: len(tensors)])
        self._outputs = [tensors[place] for place in places]
        self._images: list[dict[str, Any]] = []
        self._boxes: list[dict[str, Any]] = []

    def add(self, card: Path, name: str, record: Record) -> None:
        """Keep the boxes of an image, in its pixels on the card."""
        height, width = self._size
        try:
            _, boxes = split(self._targets.load(record))
        except ValueError as error:
            raise SoftdpuError(f"the record of {name}: {error}; make the records again") from None
        self._images.append({"id": len(self._images) + 1, "file_name": name, "height": height, "width": width})
        corners = boxes.corners.astype(np.float64) * [width, height, width, height]
        for (left, top, right, bottom), kind, crowd in zip(corners.tolist(), boxes.classes, boxes.crowds, strict=True):
            sides = right - left, bottom - top
            self._boxes.append(
                {
                    "id": len(self._boxes) + 1,
                    "image_id": len(self._images),
                    "category_id": int(kind) + 1,
                    "bbox": [left, top, *sides],
                    "area": sides[0] * sides[1],
                    "iscrowd": int(crowd),
                }
            )

    def end(self, card: Path) -> None:
        """Write both files, and the user's decoder."""
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(self._settings.classes)]
        whole = {"info": {}, "images": self._images, "annotations": self._boxes, "categories": categories}
        files.write_json(card / LABELS, whole)
        files.write_json(card / SETTINGS, {**settings.for_card(self._settings), "outputs": self._outputs})
        if own := settings.own_file(self._settings):
            shutil.copyfile(own, card / settings.OWN)


def name_outputs(model: Path) -> list[str]:
    """Return the names of the layers at which an .h5 model ends, in its order.

    Raises:
        SoftdpuError: if it is no model.
    """
    try:
        with hdf5.open_checked(model, model) as file:
            config = structure.parse(file.attrs["model_config"], model)
        return [str(entry[0]) for entry in config["config"]["output_layers"]]
    except (OSError, KeyError, TypeError, IndexError) as error:
        raise SoftdpuError(f"{model}: expected the quantized model ({error}); quantize again") from None


def measure_boxes(results: Path, card: Path, reference: Path | None) -> dict[str, Any]:
    """Return {"map50_95", "map50", "images", ...} of the boxes that app_det.py wrote, against labels.json of the card.

    Args:
        results: a list of COCO results.
        card: the card's folder.
        reference: is not needed.

    Raises:
        SoftdpuError: if one of the files is not what it should be.
    """
    truth = box_labels.read_coco(card / LABELS)
    try:
        rows = json.loads(results.read_text(encoding="utf-8"))
        found: dict[str, list[list[float]]] = {image.name: [] for image in truth.images}
        for row in rows:
            left, top, width, height = row["bbox"]
            box = [left, top, left + width, top + height, row["score"], row["category_id"] - 1]
            found[row["file_name"]].append(box)
        tables = {name: np.array(boxes, np.float32).reshape(-1, 6) for name, boxes in found.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SoftdpuError(f"{results}: expected the boxes that app_det.py wrote ({error}); run it again") from None
    boxes = {image.name: image.boxes for image in truth.images}
    # In the order of their numbers, as the stages have them: of boxes with equal scores those of the first count first.
    images = json.loads((card / LABELS).read_text(encoding="utf-8"))["images"]
    names = [(one["file_name"], one["height"], one["width"]) for one in sorted(images, key=lambda one: int(one["id"]))]
    judged = [Judged(height, width, boxes[name], tables[name]) for name, height, width in names]
    metrics = average_precision(judged, len(truth.classes))
    return {**metrics, "per_class": dict(zip(truth.classes, metrics["per_class"], strict=True))}
