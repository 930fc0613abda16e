"""The ladder as chart and table: accuracy at every stage, beside that of AMD's tutorial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes

from softdpu.output.pages import note, table, write_page
from softdpu.output.pictures import GREY, choose_bar_style, picture
from softdpu.package.ladder import Step, read_step
from softdpu.report.stages import NAMES
from softdpu.tasks import CLASSIFICATION, Task

# "Fine-Tuning TensorFlow2 Quantized Models", Vitis AI Tutorials 1.4 to 3.5: the first three are its "approximately",
# the last is its run of 500 images on a ZCU102.
TUTORIAL = {"float": 0.85, "ptq": 0.65, "qat": 0.85, "target": 0.832}
TUTORIAL_IS = "AMD's tutorial: MobileNet v1 1.0 at 224x224, 10 classes of ImageNet, Vitis AI 1.4, ZCU102"

SHORT = {
    "float": "float model",
    "ptq": "quantized\n(PTQ)",
    "qat": "fine-tuned\n(QAT)",
    "target": "on target\n(the app)",
}


def read_steps(paths: Mapping[str, Path | None], task: Task = CLASSIFICATION) -> dict[str, Step]:
    """Return the accuracy, or another task's metrics, of every stage that has a file.

    Raises:
        SoftdpuError: if a file is missing or has no such metrics.
    """
    return {stage: read_step(NAMES[stage], path, task) for stage, path in paths.items() if path is not None}


def estimate_margin(step: Step) -> float:
    """Return half the 95 % confidence interval of an accuracy, 0..1, from the normal approximation."""
    return 1.96 * math.sqrt(step.accuracy * (1 - step.accuracy) / step.images)


def draw_ladder(path: Path, steps: Mapping[str, Step], where: str) -> None:
    """Draw the accuracy of every stage, those of AMD's tutorial beside them.

    Args:
        path: of the SVG.
        steps: by stage; a stage that is not there is told to be missing.
        where: network, data and target, for the legend.
    """
    with picture(path, 8, 4.4) as figure:
        axes = figure.subplots()
        for place, stage in enumerate(NAMES):
            step = steps.get(stage)
            if step is None:
                axes.text(place - 0.2, 2, "not in this build", rotation=90, ha="center", va="bottom", color=GREY)
            else:
                axes.bar(place - 0.2, 100 * step.accuracy, 0.38, **choose_bar_style(0))
                axes.errorbar(place - 0.2, 100 * step.accuracy, 100 * estimate_margin(step), color="black", capsize=3)
                top = 100 * (step.accuracy + estimate_margin(step))
                axes.text(place - 0.2, top + 1, f"{100 * step.accuracy:.2f}", ha="center", weight="bold")
            axes.bar(place + 0.2, 100 * TUTORIAL[stage], 0.38, **choose_bar_style(1))
            about = "" if stage == "target" else "≈ "
            axes.text(place + 0.2, 100 * TUTORIAL[stage] + 1, f"{about}{100 * TUTORIAL[stage]:.3g}", ha="center")
        axes.bar(0, 0, label=f"this build: {where}", **choose_bar_style(0))
        axes.bar(
            0, 0, label=f"{TUTORIAL_IS}\n(other images: compare the steps, not the heights)", **choose_bar_style(1)
        )
        name_stages(axes, steps, "accuracy (top-1), %")
        figure.suptitle("Accuracy at every stage; the bars' whiskers are 95 % confidence", x=0.01, ha="left")
        figure.legend(loc="outside lower left", fontsize=9)


def name_stages(axes: Axes, steps: Mapping[str, Step], label: str) -> None:
    """Write the stages with their images below a chart of per cent."""
    images = [f"\n{steps[stage].images:,} images" if stage in steps else "" for stage in NAMES]
    axes.set_xticks(range(len(NAMES)), [SHORT[stage] + more for stage, more in zip(NAMES, images, strict=True)])
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel(label)
    axes.grid(axis="y")
    axes.tick_params(axis="x", length=0)


def write_ladder(path: Path, steps: Mapping[str, Step], where: str, exported: Sequence[Step] = ()) -> None:
    """Write the same as a table, behind the stages the files for other devices."""
    first = next(iter(steps.values()), None)
    rows = []
    for stage, name in NAMES.items():
        step, tutorial = steps.get(stage), f"{100 * TUTORIAL[stage]:.1f}"
        about = "" if stage == "target" else "about "
        if step is None:
            rows.append([name, "not in this build", "", "", "", about + tutorial])
            continue
        rows.append([name, *_make_cells(step, first), about + tutorial])
    rows += [[f"exported: {step.name}", *_make_cells(step, first), ""] for step in exported]
    columns = ["stage", "accuracy, %", "± (95 %)", "images", "to the float model, points", "AMD's tutorial, %"]
    text = f"{TUTORIAL_IS}. It measures other images on another network: compare the steps, not the heights."
    write_page(path, f"Accuracy at every stage: {where}", [table(columns, rows, range(1, 6)), note(text)])


def _make_cells(step: Step, first: Step | None) -> list[str]:
    """Return accuracy, margin, images and the distance to the first step."""
    return [
        f"{100 * step.accuracy:.2f}",
        f"{100 * estimate_margin(step):.2f}",
        f"{step.images:,}",
        show_distance(step, first),
    ]


def show_distance(step: Step, first: Step | None) -> str:
    """Return the distance of the first metric to that of the first step, over as many images."""
    same = first is not None and step is not first and step.images == first.images
    return f"{100 * (step.accuracy - first.accuracy):+.2f}" if first is not None and same else ""
