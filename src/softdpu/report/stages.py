"""The stages of a network in the report, and what was measured of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from softdpu.dataset import labels as class_names
from softdpu.dataset.example import MOST_CLASSES
from softdpu.errors import SoftdpuError
from softdpu.output.files import expecting
from softdpu.training.results import Predictions, read_predictions

MEASURED = {"float": "float model", "ptq": "quantized", "qat": "fine-tuned"}  # on all validation images
NAMES = {**MEASURED, "target": "on target"}


def say_missing(stage: str) -> str:
    """Return the sentence that stands where the pictures of a stage would be."""
    return f"This build has no such stage ({NAMES[stage]}): config.yaml leaves it out, or it was not built yet."


def read_stages(paths: Mapping[str, Path | None]) -> dict[str, Predictions]:
    """Return the predictions of every stage that has a file, all on the same images.

    Args:
        paths: by stage, None for one that is missing.

    Raises:
        SoftdpuError: if a file cannot be read, or two of them are of other images.
    """
    found = {stage: read_predictions(path) for stage, path in paths.items() if path is not None}
    first = next(iter(found), "")
    for stage, predictions in found.items():
        if not np.array_equal(predictions.labels, found[first].labels):
            raise SoftdpuError(
                f"{paths[stage]} is of other images than {paths[first]}: {len(predictions.labels)} and"
                f" {len(found[first].labels)} labels that differ; build both again"
            )
    return found


def read_card(path: Path) -> Predictions:
    """Return what the app said about the images of a card folder, from the JSON file that it wrote.

    Raises:
        SoftdpuError: if the file is missing or is none of the app's.
    """
    with expecting(path, "the JSON file of app_mt.py"):
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
        labels = [int(name.split("_", 1)[0]) for name in classes]
        found = np.array(list(classes.values()), np.int64)
        if found.ndim != 1 or not all(0 <= number < MOST_CLASSES for number in (*labels, *found)):
            raise ValueError("a class that is no number from 0")
    return Predictions(np.array(labels, np.int64), found, np.full(len(found), np.nan))


def read_names(records: Path) -> list[str]:
    """Return the names of the classes in a folder of records, [] where they have none."""
    return class_names.read_beside(records)


def read_json(path: Path) -> dict[str, object]:
    """Return the JSON object in a file that the build made.

    Raises:
        SoftdpuError: if it is missing or none.
    """
    with expecting(path, "a JSON object"):
        return dict(json.loads(path.read_text(encoding="utf-8")))
