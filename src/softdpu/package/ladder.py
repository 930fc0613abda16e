"""The ladder: how good the float, the quantized, the fine-tuned and the compiled network are, side by side."""

from __future__ import annotations

import collections
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from softdpu.output import files
from softdpu.tasks import CLASSIFICATION, Task

PREDICTIONS = "predictions.csv"  # beside the metrics, as training writes it


class Step(NamedTuple):
    """One network's accuracy, 0..1, over a number of images.

    Attributes:
        accuracy: or another task's first metric.
        others: the task's other metrics, 0..1.
    """

    name: str
    accuracy: float
    images: int
    others: tuple[float, ...] = ()


def write_ladder(
    steps: Mapping[str, Path], output: Path, folder: Path, command: str, task: Task = CLASSIFICATION
) -> None:
    """Print the table with the card folder and the command to run next, and write the numbers as JSON.

    Args:
        steps: by name, in order, at least one: JSON files with the task's metrics (0..1), or outputs, and images.
        output: path of the JSON file, {"steps": [{name, images, accuracy or other metrics}], "folder", "command"}.
        folder: the card folder.
        command: what to run in it.
        task: what the network is for.

    Raises:
        SoftdpuError: if a file is missing or has no such metrics.
    """
    if task.metrics:
        rows = [read_step(name, path, task) for name, path in steps.items()]
        keys = [metric.key for metric in task.metrics]
        found = [
            {"name": row.name, "images": row.images, **dict(zip(keys, (row.accuracy, *row.others), strict=True))}
            for row in rows
        ]
        text = show_table(rows, task)
    else:
        found = [{"name": name, **read_outputs(path)} for name, path in steps.items()]
        text = show_outputs(found)
    files.write_json(output, {"steps": found, "folder": str(folder), "command": command})
    print(text)
    if task == CLASSIFICATION:
        for line in warn_of_chance(rows[0], next(iter(steps.values())).parent / PREDICTIONS):
            print(f"warning: {line}")
    print(f"\nNext: cd {folder} && {command}")


def find_exported(reports: Sequence[Path]) -> dict[str, Path]:
    """Return by name of the step the reports of exported files, such as build/export/mobilenet.tflite.json.

    Those of files that were not measured are left out.

    Raises:
        SoftdpuError: if one cannot be read.
    """
    steps = {}
    for path in reports:
        with files.expecting(path, "the JSON of an exported file"):
            held = json.loads(path.read_text(encoding="utf-8"))
            form = str(held["format"])
        if "images" in held:
            steps[form if form == "tflite" else f"{form} ONNX"] = path
    return steps


def show_table(rows: list[Step], task: Task = CLASSIFICATION) -> str:
    """Return the rows as text, each with its first metric's distance in percentage points to the first row.

    There is no distance between accuracies over different numbers of images.
    """
    titles = [metric.title for metric in task.metrics]
    heads = "".join(f"{title:>{max(10, len(title) + 2)}}" for title in titles)
    lines = [f"{'':<12}{heads}{'images':>9}{'to ' + rows[0].name:>16}"]
    for row in rows:
        comparable = row is not rows[0] and row.images == rows[0].images
        distance = f"{100 * (row.accuracy - rows[0].accuracy):+.2f}" if comparable else ""
        values = zip(titles, (row.accuracy, *row.others), strict=True)
        cells = "".join(f"{100 * value:>{max(8, len(title))}.2f} %" for title, value in values)
        lines.append(f"{row.name:<12}{cells}{row.images:>9}{distance:>16}".rstrip())
    return "\n".join(lines)


def show_outputs(steps: list[dict[str, Any]]) -> str:
    """Return as text how near each output of each stage is to the float network's."""
    width = max(12, *(len(output["name"]) + 2 for step in steps for output in step["outputs"]))
    lines = [f"{'':<12}{'output':<{width}}{'signal to noise':>16}{'cosine':>10}{'images':>9}"]
    for step in steps:
        name = step["name"]
        for output in step["outputs"]:
            if "sqnr" in output:
                cells = f"{output['sqnr']:>13.2f} dB{output['cosine']:>10.5f}"
                lines.append(f"{name:<12}{output['name']:<{width}}{cells}{step['images']:>9}")
                name = ""
    return "\n".join(lines)


def read_outputs(path: Path) -> dict[str, Any]:
    """Return {"images", "outputs": [{"name", "sqnr", "cosine"}]} of a JSON file of the task none.

    Raises:
        SoftdpuError: if it is missing or has none.
    """
    with files.expecting(path, "JSON with outputs and images"):
        held = json.loads(path.read_text(encoding="utf-8"))
        outputs = [
            {"name": str(one["name"]), **{key: float(one[key]) for key in ("sqnr", "cosine") if key in one}}
            for one in held["outputs"]
        ]
        return {"images": int(held["images"]), "outputs": outputs}


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


def read_step(name: str, path: Path, task: Task = CLASSIFICATION) -> Step:
    """Return the metrics in a JSON file with the keys accuracy (0..1), or those of another task, and images.

    Raises:
        SoftdpuError: if it is missing or has none.
    """
    keys = ", ".join(metric.key for metric in task.metrics)
    with files.expecting(path, f"JSON with {keys} and images"):
        metrics = json.loads(path.read_text(encoding="utf-8"))
        first, *others = (float(metrics[metric.key]) for metric in task.metrics)
        step = Step(name, first, int(metrics["images"]), tuple(others))
        if not all(0 <= value <= 1 for value in (first, *others)) or not 0 <= step.images < 1 << 40:
            raise ValueError("a metric is 0 to 1, a number of images 0 or more")
        return step
