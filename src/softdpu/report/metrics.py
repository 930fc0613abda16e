"""The metrics of a task at every stage, as chart and table, and its first metric class by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from softdpu.output.files import expecting
from softdpu.output.pages import note, table, write_page
from softdpu.output.pictures import GREY, choose_bar_style, name_classes, picture
from softdpu.package.ladder import Step
from softdpu.report.ladder import name_stages, show_distance
from softdpu.report.stages import NAMES, read_json
from softdpu.tasks import Task

# By task, what it measures of each class, and where in metrics.json: a list by class, or numbers by name of the class.
BY_CLASS: dict[str, tuple[str, str]] = {
    "segmentation": ("intersection over union", "iou"),
    "detection": ("AP50-95", "by_class"),
}


def draw_metrics(path: Path, steps: Mapping[str, Step], task: Task, where: str) -> None:
    """Draw every metric of a task at every stage.

    Args:
        path: of the SVG.
        steps: by stage; a stage that is not there is told to be missing.
        task: whose metrics they are.
        where: network, data and target, for the title.
    """
    width = 0.8 / len(task.metrics)
    with picture(path, 8, 4.4) as figure:
        axes = figure.subplots()
        for number, metric in enumerate(task.metrics):
            shift = (number - (len(task.metrics) - 1) / 2) * width
            for place, stage in enumerate(NAMES):
                if stage in steps:
                    value = 100 * _pick_values(steps[stage])[number]
                    axes.bar(place + shift, value, 0.95 * width, **choose_bar_style(number))
                    axes.text(place + shift, value + 1, f"{value:.2f}", ha="center")
            axes.bar(0, 0, label=metric.title, **choose_bar_style(number))
        for place, stage in enumerate(NAMES):
            if stage not in steps:
                axes.text(place, 2, "not in this build", rotation=90, ha="center", va="bottom", color=GREY)
        name_stages(axes, steps, "%")
        figure.suptitle(where, x=0.01, ha="left")
        figure.legend(loc="outside lower left", ncols=len(task.metrics), fontsize=9)


def write_metrics(path: Path, steps: Mapping[str, Step], task: Task, where: str, exported: Sequence[Step] = ()) -> None:
    """Write the same as a table, behind the stages the files for other devices."""
    first = next(iter(steps.values()), None)
    titles = [metric.title for metric in task.metrics]
    rows = []
    for stage, name in NAMES.items():
        step = steps.get(stage)
        missing = [name, "not in this build", *[""] * (len(titles) + 1)]
        rows.append(missing if step is None else [name, *_make_cells(step, first)])
    rows += [[f"exported: {step.name}", *_make_cells(step, first)] for step in exported]
    columns = ["stage", *(f"{title}, %" for title in titles), "images", f"{titles[0]} to the float model, points"]
    write_page(path, f"Every stage: {where}", [table(columns, rows, range(1, len(columns)))])


def _pick_values(step: Step) -> tuple[float, ...]:
    return (step.accuracy, *step.others)


def _make_cells(step: Step, first: Step | None) -> list[str]:
    """Return the metrics, the images and the first metric's distance to the first step."""
    return [*(f"{100 * value:.2f}" for value in _pick_values(step)), f"{step.images:,}", show_distance(step, first)]


def write_classes(path: Path, stages: Mapping[str, Path], names: Sequence[str], task: Task) -> None:
    """Write what was measured of each class at every stage, the class that lost most first.

    Args:
        path: of the page.
        stages: by stage, its metrics.json.
        names: of the classes.
        task: one of BY_CLASS.

    Raises:
        SoftdpuError: if a file is missing or has no such numbers.
    """
    title, key = BY_CLASS[task.name]
    found = {stage: _read_classes(file, key, names) for stage, file in stages.items()}
    count = max([len(names), *map(len, found.values())])
    padded = {stage: [*values, *[None] * (count - len(values))] for stage, values in found.items()}
    first, *later = padded or ["float"]

    def change(stage: str, label: int) -> float | None:
        before, after = padded[first][label], padded[stage][label]
        return None if before is None or after is None else 100 * (after - before)

    def lost(label: int) -> float:
        return sum(change(stage, label) or 0.0 for stage in later)

    rows = [
        [
            name_classes(names, count)[label],
            *(_show(values[label], lambda value: f"{100 * value:.2f}") for values in padded.values()),
            *(_show(change(stage, label), lambda value: f"{value:+.2f}") for stage in later),
        ]
        for label in sorted(range(count), key=lost)
    ]
    columns = ["class", *(f"{NAMES[stage]}, %" for stage in padded), *(f"{NAMES[stage]}, points" for stage in later)]
    text = f"{count} classes; the one that lost most stands first. A class without a number is in no validation image."
    heading = f"{title.capitalize() if title.islower() else title} by class"
    write_page(path, heading, [note(text), table(columns, rows, range(1, len(columns)))])


def _show(value: float | None, form: Callable[[float], str]) -> str:
    return "" if value is None else form(value)


def _read_classes(path: Path, key: str, names: Sequence[str]) -> list[float | None]:
    """Return a number for each class, 0..1, None for a class that has none."""
    held: Any = read_json(path)
    with expecting(path, f"metrics with {key}"):
        values = held[key]
        numbers = [values[name] for name in names] if isinstance(values, dict) else values
        found = [None if number is None else float(number) for number in numbers]
        if not all(number is None or 0 <= number <= 1 for number in found):
            raise ValueError("a metric is 0 to 1")
        return found
