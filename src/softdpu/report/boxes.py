"""A few validation images with their boxes: the true ones and those that each stage of the network found."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from softdpu.dataset import preprocess
from softdpu.dataset.box_labels import unpack
from softdpu.dataset.pipeline import Reader, record_files
from softdpu.detection.decoders import draw_boxes
from softdpu.errors import SoftdpuError
from softdpu.output.pictures import picture
from softdpu.report.stages import NAMES, read_names

IMAGES = 6
PIXELS = 320  # of the longer side
TRUTH = "labels"


def draw(stages: Mapping[str, Path], records: Path, output: Path) -> None:
    """Draw the images as rows, and the labels and the stages as columns.

    Args:
        stages: by stage, its boxes.csv.
        records: folder of the validation records.
        output: path of the SVG.

    Raises:
        SoftdpuError: if the boxes cannot be read or are of other images.
    """
    names = read_names(records)
    reader = Reader(record_files(records))
    found = {NAMES[stage]: read_boxes(path, len(reader), len(names)) for stage, path in stages.items()}
    chosen = np.unique(np.linspace(0, len(reader) - 1, min(IMAGES, len(reader))).astype(int))
    columns = [TRUTH, *found]
    with picture(output, 2.4 * len(columns), 0.3 + 2.4 * len(chosen)) as figure:
        grid = figure.subplots(len(chosen), len(columns), squeeze=False)
        for row, number in zip(grid, chosen, strict=True):
            image = preprocess.fit_side(reader.read_image(int(number))[..., ::-1], PIXELS, cv2.INTER_CUBIC)
            scale = np.array([image.shape[1], image.shape[0]] * 2)
            truth = unpack(reader[int(number)].target, len(names))
            table = np.column_stack([truth.corners * scale, np.ones(len(truth.classes)), truth.classes])
            for axes, name in zip(row, columns, strict=True):
                boxes = table if name == TRUTH else found[name].get(int(number), np.zeros((0, 6)))
                if name != TRUTH:
                    boxes = np.column_stack([boxes[:, :4] * scale, boxes[:, 4:]])
                axes.imshow(draw_boxes(image, boxes, names)[..., ::-1])
                axes.axis("off")
                if number == chosen[0]:
                    axes.set_title(name)


def read_boxes(path: Path, images: int, classes: int) -> dict[int, np.ndarray]:
    """Return by the number of an image its boxes, float64[n, 6], left, top, right, bottom in shares, score, class.

    Raises:
        SoftdpuError: if the file is missing, is none of training.tasks.detection, or names other images or classes.
    """
    found: dict[int, list[list[float]]] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for number, *values in list(csv.reader(file))[1:]:
                box = [float(value) for value in values]
                if len(box) != 6 or not 0 <= int(number) < images or not 0 <= box[5] < classes:
                    raise ValueError(f"image {number}, class {values[-1]}")
                found.setdefault(int(number), []).append(box)
        if not np.isfinite([value for boxes in found.values() for box in boxes for value in box]).all():
            raise ValueError("a number that is none")
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise SoftdpuError(f"{path}: expected the boxes of the validation images ({error}); build it again") from None
    return {number: np.array(boxes) for number, boxes in found.items()}
