"""What training and evaluation leave beside a model for the report, as CSV: each image's class, each epoch's numbers.

The module needs no TensorFlow and runs on Python 3.7.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Mapping, NamedTuple, Sequence  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike, write_text

METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
HISTORY = "history.csv"

_COLUMNS = ("label", "predicted", "confidence")
_CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "lr")
_OF_SEGMENTATION = ("mean_iou", "val_mean_iou")  # behind them, where they were measured


class Predictions(NamedTuple):
    """What a network says about some images, in the records' order.

    Attributes:
        labels: int64[images], the true classes.
        classes: int64[images], the predicted ones.
        confidence: float64[images], the softmax of the predicted class, 0..1.
    """

    labels: np.ndarray
    classes: np.ndarray
    confidence: np.ndarray


class Epoch(NamedTuple):
    """One epoch of a training; nan for what was not measured.

    Attributes:
        number: from 1; 0 is the network before training.
        loss, accuracy: on the training images, accuracy in 0..1.
        val_loss, val_accuracy: on the validation images.
        lr: learning rate at its end.
        kept: whether the model has this epoch's weights.
        mean_iou, val_mean_iou: mean intersection over union of segmentation, 0..1.
    """

    number: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    kept: bool
    mean_iou: float = float("nan")
    val_mean_iou: float = float("nan")


def write_predictions(path: PathLike, found: Predictions) -> None:
    """Write predictions as CSV, one image a line, whole or not at all."""
    images = range(len(found.labels))
    rows = [f"{found.labels[i]},{found.classes[i]},{found.confidence[i]:.4f}" for i in images]
    write_text(path, "\n".join([",".join(_COLUMNS), *rows]) + "\n")


def read_predictions(path: PathLike) -> Predictions:
    """Return what `write_predictions` has written.

    Raises:
        SoftdpuError: if it is missing or not such a file.
    """
    rows = _read(path, _COLUMNS)
    try:
        labels, classes = (np.array([int(row[i]) for row in rows], np.int64) for i in (0, 1))
        return Predictions(labels, classes, np.array([float(row[2]) for row in rows], np.float64))
    except (ValueError, IndexError) as error:
        raise SoftdpuError(
            f"{path}: expected a label, a class and a confidence a line ({error}); make it again"
        ) from None


def write_history(
    path: PathLike, history: Mapping[str, Sequence[float]], kept: int, start: Mapping[str, float] | None = None
) -> None:
    """Write the numbers of each epoch as CSV, whole or not at all.

    Args:
        path: of the file.
        history: Keras' history, the values of each epoch by name.
        kept: the epoch, from 1, whose weights the model has; 0 for those it came with.
        start: {"accuracy", "loss"} on the validation images before training, of segmentation "mean_iou" too, if they
            were measured.
    """
    more = _OF_SEGMENTATION if all(name in history for name in _OF_SEGMENTATION) else ()
    lines = [",".join(("epoch", *_CURVES, "kept", *more))]
    if start is not None:
        first = ["0", "", "", f"{start['loss']:.6g}", f"{start['accuracy']:.6g}", "", str(int(kept == 0))]
        lines.append(",".join([*first, *(["", f"{start['mean_iou']:.6g}"] if more else [])]))
    for i in range(len(history["loss"])):
        values = [f"{history[name][i]:.6g}" if name in history else "" for name in _CURVES]
        behind = [f"{history[name][i]:.6g}" for name in more]
        lines.append(",".join([str(i + 1), *values, str(int(kept == i + 1)), *behind]))
    write_text(path, "\n".join(lines) + "\n")


def read_history(path: PathLike) -> list[Epoch]:
    """Return what `write_history` has written.

    Raises:
        SoftdpuError: if it is missing or not such a file.
    """
    rows = _read(path, ("epoch", *_CURVES, "kept"), _OF_SEGMENTATION)
    try:
        return [_read_epoch(row) for row in rows]
    except (ValueError, IndexError) as error:
        raise SoftdpuError(f"{path}: expected the numbers of an epoch a line ({error}); make it again") from None


def _read_epoch(row: Sequence[str]) -> Epoch:
    loss, accuracy, val_loss, val_accuracy, lr = (float(cell or "nan") for cell in row[1:6])
    overlaps = [float(cell or "nan") for cell in row[7:]]
    return Epoch(int(row[0]), loss, accuracy, val_loss, val_accuracy, lr, row[6] == "1", *overlaps)


def _read(path: PathLike, columns: Sequence[str], more: Sequence[str] = ()) -> list[list[str]]:
    """Return the rows of a CSV file whose head is `columns`, or `columns` and `more`."""
    try:
        with open(Path(path), encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
    except (OSError, ValueError) as error:
        raise SoftdpuError(f"{path} cannot be read ({error}); build it first") from None
    if head not in (list(columns), [*columns, *more]):
        raise SoftdpuError(f"{path}: expected the columns {', '.join(columns)}, got {', '.join(head)}; make it again")
    return rows
