"""What can be known of a training before its first step: what cannot work is refused, what will hardly work is said."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from softdpu.dataset.pipeline import read_records
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.output.progress import NOW
from softdpu.training.hyperparameters import Hyperparameters

_FEW_IMAGES = 10  # of a class
_IMBALANCE = 10  # the largest class by the smallest


def say_prospects(folder: PathLike, classes: int, hyperparameters: Hyperparameters, from_weights: bool = False) -> None:
    """Print what will hardly work in a training on the records of a folder, with the key to change.

    Raises:
        SoftdpuError: if it cannot work: a class has no image, or there are fewer steps than classes.
    """
    for line in foresee(count_labels(folder, classes), hyperparameters, from_weights):
        print(f"{NOW}warning: {line}", flush=True)


def foresee(counts: dict[str, int], hyperparameters: Hyperparameters, from_weights: bool = False) -> list[str]:
    """Return a warning for each thing that will hardly work.

    Args:
        counts: training images by the name of their class.
        hyperparameters: the numbers of the training.
        from_weights: whether it starts from trained weights already.

    Raises:
        SoftdpuError: if it cannot work.
    """
    empty = [name for name, count in counts.items() if not count]
    if empty and len(counts) > 1:
        raise SoftdpuError(f"the class {empty[0]} has no training image; add images or take the class away (dataset)")
    images = min(hyperparameters.images or sum(counts.values()), sum(counts.values()))
    steps = hyperparameters.epochs * math.ceil(images / hyperparameters.batch_size)
    if steps < len(counts):
        epochs = math.ceil(len(counts) / math.ceil(images / hyperparameters.batch_size))
        raise SoftdpuError(
            f"{images} images in batches of {hyperparameters.batch_size} make {steps} steps in"
            f" {hyperparameters.epochs} epochs, fewer than the {len(counts)} classes; nothing can be learnt. Take"
            f" train.epochs: {epochs} or more, or a smaller train.batch_size"
        )
    warnings = []
    smallest, largest = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    if counts[smallest] < _FEW_IMAGES:
        few = [name for name, count in counts.items() if count < _FEW_IMAGES]
        advice = ", or start from trained weights (model.weights: imagenet, model.freeze_base: true)"
        warnings.append(
            f"{len(few)} of {len(counts)} classes have fewer than {_FEW_IMAGES} training images, {smallest} has"
            f" {counts[smallest]}; add images{'' if from_weights else advice}"
        )
    if counts[largest] >= _IMBALANCE * counts[smallest]:
        warnings.append(
            f"the classes are uneven: {largest} has {counts[largest]} training images, {smallest} {counts[smallest]};"
            " the network will prefer the large ones. Add images of the small ones (dataset.path)"
        )
    return warnings


def count_labels(folder: PathLike, classes: int) -> dict[str, int]:
    """Return how many records a folder has of each class, by name, from its manifest or else from the records."""
    try:
        manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
        counts = {str(name): int(manifest["counts"].get(name, 0)) for name in manifest["classes"]}
        if len(counts) == classes:
            return counts
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # records of another maker have none
    labels = np.array([record.label for record in read_records(folder)], np.int64)
    return {str(label): int((labels == label).sum()) for label in range(classes)}
