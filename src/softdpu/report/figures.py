"""What the report shows: a row for each picture and table, with its place there; of every task, and of each.

Read when a build is planned, so it imports next to nothing. A figure's caption is report/<caption>.rst.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from softdpu.tasks import TASKS


class Figure(NamedTuple):
    """A picture or table of the report.

    Attributes:
        output: its name among the outputs of its rule.
        file: its path below the build's folder.
        caption: the name of the text beside it.
        category: the section that it stands in.
        labels: what tells it apart in that section, by the head of a column.
    """

    output: str
    file: str
    caption: str
    category: str
    labels: dict[str, str]


def _row(output: str, file: str, caption: str, category: str, figure: str, **more: str) -> Figure:
    return Figure(output, file, caption, category, {"figure": figure, **more})


_ACCURACY, _OUTPUTS, _TRAINING, _CLASSES = "1 Accuracy", "1 Outputs", "2 Training", "3 Classes"
_FLIPPED, _IMAGES = "4 Flipped images", "4 Images"
_LAYERS, _COMPILER, _SPEED, _BUILD = "5 Layers", "6 Compiler", "7 Speed", "8 Build"
_PTQ, _QAT = {"stage": "2 quantized"}, {"stage": "3 fine-tuned"}
_CHART, _TABLE = {"as": "chart"}, {"as": "table"}

_LADDER, _OPERATIONS = "accuracy at every stage, {target}", "operations of {target}"
_COSTS, _THROUGHPUT = "1 time and memory by rule", "throughput by threads, {target}"
_PREDICTED = "frames/s to expect on the board, {target}"
_MATRIX, _CHANGE = "1 confusion matrix", "2 what changed"

# Of every task, by the rule that draws them.
FIGURES: dict[str, tuple[Figure, ...]] = {
    "doctor": (
        _row("sqnr", "doctor/sqnr.svg", "sqnr", _LAYERS, "1 signal to noise, layer by layer"),
        _row("cost", "doctor/cost.svg", "cost", _LAYERS, "2 what each layer costs"),
        _row("ranges", "doctor/ranges.svg", "ranges", _LAYERS, "3 ranges of the weights"),
        _row("worst", "doctor/worst.svg", "worst", _LAYERS, "4 the worst layers"),
        _row("table", "doctor/layers.html", "layers", _LAYERS, "5 all layers in numbers"),
    ),
    "report_target": (
        _row("operations", "report/{target}/operations.svg", "compiled", _COMPILER, _OPERATIONS, **_CHART),
        _row("compiled", "report/{target}/compiled.html", "compiled", _COMPILER, _OPERATIONS, **_TABLE),
        _row("throughput", "report/{target}/throughput.svg", "throughput", _SPEED, _THROUGHPUT),
        _row("predicted", "report/{target}/predicted.html", "predicted", _SPEED, _PREDICTED, **_TABLE),
    ),
    "report_build": (
        _row("costs", "report/costs.svg", "costs", _BUILD, _COSTS, **_CHART),
        _row("table", "report/costs.html", "costs", _BUILD, _COSTS, **_TABLE),
        _row("provenance", "report/provenance.html", "provenance", _BUILD, "2 where it comes from", **_TABLE),
    ),
}


def _ladder(category: str, caption: str, figure: str) -> tuple[Figure, ...]:
    return (
        _row("ladder", "report/{target}/ladder.svg", caption, category, figure, **_CHART),
        _row("table", "report/{target}/ladder.html", caption, category, figure, **_TABLE),
    )


_CURVES = (
    _row("training", "report/training_float.svg", "training", _TRAINING, "1 training of the float model"),
    _row("finetuning", "report/training_qat.svg", "training", _TRAINING, "2 fine-tuning"),
)
_ON_TARGET = {"stage": "4 on {target}"}

# Of one task, by its name and the rule that draws them; they stand before those of every task.
OF_TASK: dict[str, dict[str, tuple[Figure, ...]]] = {
    "classification": {
        "report_accuracy": (
            *_CURVES,
            _row(
                "confusion_float", "report/confusion_float.svg", "confusion", _CLASSES, _MATRIX, stage="1 float model"
            ),
            _row("confusion_ptq", "report/confusion_ptq.svg", "confusion", _CLASSES, _MATRIX, **_PTQ),
            _row("confusion_qat", "report/confusion_qat.svg", "confusion", _CLASSES, _MATRIX, **_QAT),
            _row("change_ptq", "report/change_ptq.svg", "change", _CLASSES, _CHANGE, **_PTQ),
            _row("change_qat", "report/change_qat.svg", "change", _CLASSES, _CHANGE, **_QAT),
            _row("classes", "report/classes.html", "classes", _CLASSES, "3 accuracy by class", stage="all"),
            _row("flips_ptq", "report/flips_ptq.svg", "flips", _FLIPPED, "1 float model to quantized"),
            _row("flips_qat", "report/flips_qat.svg", "flips", _FLIPPED, "2 float model to fine-tuned"),
        ),
        "report_target": (
            *_ladder(_ACCURACY, "ladder", _LADDER),
            _row("confusion", "report/{target}/confusion.svg", "confusion", _CLASSES, _MATRIX, **_ON_TARGET),
        ),
    },
    "segmentation": {
        "report_accuracy": (
            *_CURVES,
            _row("classes", "report/classes.html", "by_class", _CLASSES, "intersection over union by class"),
            _row("masks", "report/masks.svg", "masks", _IMAGES, "validation images with their masks"),
        ),
        "report_target": _ladder(_ACCURACY, "metrics", "mean IoU and pixel accuracy at every stage, {target}"),
    },
    "detection": {
        "report_accuracy": (
            *_CURVES,
            _row("classes", "report/classes.html", "by_class", _CLASSES, "average precision by class"),
            _row("boxes", "report/boxes.svg", "boxes", _IMAGES, "validation images with their boxes"),
        ),
        "report_target": _ladder(_ACCURACY, "metrics", "mAP at every stage, {target}"),
    },
    "none": {
        "report_accuracy": (
            _row("images", "report/similarity.svg", "similarity", _IMAGES, "signal to noise of every image"),
        ),
        "report_target": _ladder(_OUTPUTS, "outputs", "signal to noise and cosine of every output, {target}"),
    },
}


def list_figures(rule: str, task: str) -> tuple[Figure, ...]:
    """Return what a rule draws for a task."""
    return (*OF_TASK[task].get(rule, ()), *FIGURES.get(rule, ()))


def keep_measured(files: Iterable[str]) -> list[str]:
    """Return those outputs of a stage by which it says how well it did."""
    known = ("metrics.json", "history.csv", *(task.predictions for task in TASKS.values()))
    return [file for file in files if file.rsplit("/", 1)[-1] in known]
