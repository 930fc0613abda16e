"""The ladder: accuracy of the float, the quantized, the fine-tuned and the compiled network side by side."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from softdpu.errors import SoftdpuError
from softdpu.output import files

PREDICTIONS = "predictions.csv"  # beside the metrics, as training writes it


class Step(NamedTuple):
    """One network's accuracy, 0..1, over a number of images."""

    name: str
    accuracy: float
    images: int


def ladder(steps: Mapping[str, Path], output: Path, folder: Path, command: str) -> None:
    """Print the table with the card folder and the command to run next, and write the numbers as JSON.

    Args:
        steps: by name, in order, at least one: JSON files with the keys accuracy (0..1) and images.
        output: path of the JSON file, {"steps": [{name, accuracy, images}], "folder", "command"}.
        folder: the card folder.
        command: what to run in it.

    Raises:
        SoftdpuError: if a file is missing or has no accuracy.
    """
    rows = [read_step(name, path) for name, path in steps.items()]
    files.write_json(output, {"steps": [row._asdict() for row in rows], "folder": str(folder), "command": command})
    print(table(rows))
    for line in warn_of_chance(rows[0], next(iter(steps.values())).parent / PREDICTIONS):
        print(f"warning: {line}")
    print(f"\nNext: cd {folder} && {command}")


def find_exported(reports: Sequence[Path]) -> dict[str, Path]:
    """Return by name of the step the reports of exported files, such as build/export/mobilenet.tflite.json.

    Raises:
        SoftdpuError: if one cannot be read.
    """
    steps = {}
    for path in reports:
        try:
            form = str(json.loads(path.read_text(encoding="utf-8"))["format"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SoftdpuError(f"{path}: expected the JSON of an exported file ({error}); make it again") from None
        steps[form if form == "tflite" else f"{form} ONNX"] = path
    return steps


def table(rows: list[Step]) -> str:
    """Return the rows as text, each with its distance in percentage points to the first.

    There is no distance between accuracies over different numbers of images.
    """
    lines = [f"{'':<12}{'accuracy':>10}{'images':>9}{'to ' + rows[0].name:>16}"]
    for row in rows:
        comparable = row is not rows[0] and row.images == rows[0].images
        distance = f"{100 * (row.accuracy - rows[0].accuracy):+.2f}" if comparable else ""
        lines.append(f"{row.name:<12}{100 * row.accuracy:>8.2f} %{row.images:>9}{distance:>16}".rstrip())
    return "\n".join(lines)


def warn_of_chance(step: Step, predictions: Path) -> list[str]:
    """Return a warning if a network is no better than one that always says the most frequent class, else nothing.

    Args:
        step: the network's accuracy.
        predictions: CSV with the label of each image it was measured on, first in its line after the heading; without
            it there is nothing to compare with.
    """
    try:
        labels = [line.split(",")[0] for line in predictions.read_text(encoding="utf-8").splitlines()[1:]]
    except (OSError, ValueError):
        return []
    counts = collections.Counter(labels)
    if len(counts) < 2:
        return []
    chance = max(counts.values()) / len(labels)
    if step.accuracy > chance + 2 * math.sqrt(chance * (1 - chance) / len(labels)):
        return []
    return [
        f"the {step.name} is at chance: {100 * step.accuracy:.2f} % right, always the same class gives"
        f" {100 * chance:.2f} %. It has learnt nothing; train longer (train.epochs), start from trained weights"
        " (model.weights: imagenet, model.freeze_base: true; config/own-images.yaml), or give it more images"
    ]


def read_step(name: str, path: Path) -> Step:
    """Return the accuracy in a JSON file with the keys accuracy (0..1) and images.

    Raises:
        SoftdpuError: if it is missing or has none.
    """
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        return Step(name, float(metrics["accuracy"]), int(metrics["images"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SoftdpuError(f"{path}: expected JSON with accuracy and images ({error}); make it again") from None
