"""A contact sheet of records: some images of each class with their labels, and how many there are of each."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np

from softdpu.dataset import labels as class_names
from softdpu.dataset import preprocess
from softdpu.dataset.example import MOST_CLASSES
from softdpu.dataset.pipeline import Reader, record_files
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike, whole_file

matplotlib.use("Agg")
import matplotlib.pyplot as plt

MAX_CLASSES = 40
_MAX_BARS = 2000
_TILE = 96  # pixels


def draw_sheet(folder: PathLike, output: PathLike, images: int = 8, seed: int = 1) -> str:
    """Draw the sheet as PNG and return one line about the records.

    Args:
        folder: with .tfrecord files, and labels.txt if the classes have names.
        output: path of the PNG.
        images: of each class.
        seed: of the choice of images.

    Raises:
        SoftdpuError: if there are no records, or one is broken.
    """
    reader = Reader(record_files(folder))
    labels = np.array([reader[i].label for i in range(len(reader))], np.int64)
    if not len(labels):
        raise SoftdpuError(f"the records in {folder} hold no image")
    if labels.max() >= MOST_CLASSES:
        raise SoftdpuError(
            f"{reader.place(int(labels.argmax()))}: the label must be 0 to {MOST_CLASSES - 1}, it is {labels.max()}"
        )
    names = _read_names(folder, int(labels.max()) + 1)
    counts = np.bincount(labels, minlength=len(names))
    shown = range(min(len(names), MAX_CLASSES))
    random = np.random.default_rng(seed)
    figure, (sheet, bars) = plt.subplots(
        1, 2, figsize=(images + 5, len(shown) + 1), width_ratios=(images, 4), constrained_layout=True
    )
    rows = [_draw_row(reader, random.permutation(np.flatnonzero(labels == label))[:images], images) for label in shown]
    sheet.imshow(np.concatenate(rows), aspect="auto")  # so that the bars stand beside their rows
    sheet.set_xticks([])
    sheet.set_yticks([_TILE * (label + 0.5) for label in shown], [f"{label} {names[label]}" for label in shown])
    more = f", the first {len(shown)} classes" if len(shown) < len(names) else ""
    sheet.set_title(f"{Path(folder).name}: {len(labels)} images of {len(names)} classes{more}", loc="left")
    if len(names) > _MAX_BARS:  # a bar each would take minutes
        bars.fill_betweenx(range(len(names)), counts, step="mid")
    else:
        bars.barh(range(len(names)), counts, height=0.8)
    bars.set_ylim(len(names) - 0.5, -0.5)
    bars.set_xlabel("images of each class")
    bars.set_yticks([])
    with whole_file(output) as part:
        figure.savefig(part, format="png", dpi=80, metadata={"Software": None})
    plt.close(figure)
    return f"{output}: {len(labels)} images of {len(names)} classes, {counts.min()} to {counts.max()} a class"


def _read_names(folder: PathLike, classes: int) -> list[str]:
    names = class_names.read_beside(folder)
    return names + [""] * (classes - len(names))


def _draw_row(reader: Reader, chosen: np.ndarray, images: int) -> np.ndarray:
    """Return uint8[tile, images * tile, 3]: the chosen images side by side, white where there are too few."""
    row = np.full((_TILE, images * _TILE, 3), 255, np.uint8)
    for column, i in enumerate(chosen):
        small = preprocess.fit_side(reader.read_image(int(i)), _TILE - 4, cv2.INTER_NEAREST)
        row[2 : 2 + small.shape[0], column * _TILE + 2 : column * _TILE + 2 + small.shape[1]] = small
    return row
