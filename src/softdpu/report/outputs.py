"""The task none: how near each output of each stage is to the float network's, in all and for every image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from softdpu.numbers.similarity import MOST_DECIBELS
from softdpu.output.files import expecting
from softdpu.output.pages import note, table, write_page
from softdpu.output.pictures import choose_line_style, draw_placeholder, picture, printable
from softdpu.package.ladder import read_outputs
from softdpu.report.stages import NAMES, say_missing

SHOWN = 24  # outputs; of more, those with the most noise
_NOTE = (
    "Against the float network's outputs on the same images: power of the signal by that of the difference in dB, and"
    " the cosine of the angle between both. 99 dB stand for no difference. 6 dB are one bit."
)


class Nearness(NamedTuple):
    """How near an output is to the float network's: in dB, and the cosine of the angle, over so many images."""

    sqnr: float
    cosine: float
    images: int


def read_outputs_of(paths: Mapping[str, Path]) -> dict[str, dict[str, Nearness]]:
    """Return by stage and output how near it is; the float network, which is the measure, is not among them.

    Raises:
        SoftdpuError: if a file is missing or has no such numbers.
    """
    found = {}
    for stage, path in paths.items():
        held = read_outputs(path)
        with expecting(path, "signal to noise of each output"):
            near = {
                one["name"]: Nearness(_check(one["sqnr"]), _check(one["cosine"], 1.001), held["images"])
                for one in held["outputs"]
                if {"sqnr", "cosine"} <= set(one)
            }
        if near:
            found[stage] = near
    return found


def draw_outputs(path: Path, stages: Mapping[str, Mapping[str, Nearness]], where: str) -> None:
    """Draw signal to noise and cosine of each output, a mark for each stage.

    Args:
        path: of the SVG.
        stages: what `read_outputs_of` returned.
        where: network, data and target, for the title.
    """
    names, text = _choose({stage: {name: one.sqnr for name, one in near.items()} for stage, near in stages.items()})
    if not names:
        draw_placeholder(path, where, say_missing("ptq"))
        return
    with picture(path, 9.5, 1.9 + 0.32 * len(names)) as figure:
        all_axes = figure.subplots(1, 2, sharey=True)
        for axes, key, label in zip(all_axes, ("sqnr", "cosine"), ("signal to noise, dB", "cosine"), strict=True):
            for number, (stage, near) in enumerate(stages.items()):
                points = [(getattr(near[name], key), row) for row, name in enumerate(names) if name in near]
                style = {**choose_line_style(number), "linestyle": "none", "markersize": 8, "markerfacecolor": "none"}
                axes.plot([x for x, _ in points], [y for _, y in points], label=NAMES[stage], **style)
            axes.set_xlabel(label)
            axes.margins(x=0.12)
            axes.grid()
        all_axes[1].ticklabel_format(axis="x", useOffset=False)
        all_axes[1].locator_params(axis="x", nbins=5)
        _name_rows(all_axes[0], names)
        figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(stages), fontsize=9)
        figure.suptitle(f"{where}{text}", x=0.01, ha="left")


def write_outputs(path: Path, stages: Mapping[str, Mapping[str, Nearness]], where: str) -> None:
    """Write the same as a table, all outputs."""
    rows = [
        [name, NAMES[stage], f"{near[name].sqnr:.2f}", f"{near[name].cosine:.6f}", f"{near[name].images:,}"]
        for name in dict.fromkeys(name for near in stages.values() for name in near)
        for stage, near in stages.items()
        if name in near
    ]
    columns = ["output", "stage", "signal to noise, dB", "cosine", "images"]
    write_page(path, f"Every output at every stage: {where}", [note(_NOTE), table(columns, rows, range(2, 5))])


def read_images(path: Path) -> dict[str, np.ndarray]:
    """Return by output the ratio of signal to noise of every image in dB, as training.tasks.comparison wrote them.

    Raises:
        SoftdpuError: if the file is missing or is none of these.
    """
    found: dict[str, list[float]] = {}
    with expecting(path, "signal to noise by image and output"):
        for line in path.read_text(encoding="utf-8").split("\n")[1:-1]:
            name, sqnr, _ = line.partition(",")[2].rsplit(",", 2)  # a name may hold commas
            found.setdefault(name, []).append(_check(float(sqnr)))
    return {name: np.array(values) for name, values in found.items()}


def _check(value: float, most: float = MOST_DECIBELS) -> float:
    if not abs(value) <= most:
        raise ValueError(f"{value}, where {-most} to {most} was expected")
    return value


def draw_images(path: Path, stages: Mapping[str, Path]) -> None:
    """Draw the spread of signal to noise over the images, for each output and stage.

    Args:
        path: of the SVG.
        stages: by stage, its similarity.csv.

    Raises:
        SoftdpuError: if a file cannot be read.
    """
    read = {stage: read_images(file) for stage, file in stages.items()}
    found = {stage: by_output for stage, by_output in read.items() if by_output}
    medians = {stage: {name: float(np.median(one)) for name, one in near.items()} for stage, near in found.items()}
    names, text = _choose(medians)
    if not names:
        draw_placeholder(path, "Signal to noise of every image", say_missing("ptq"))
        return
    with picture(path, 8, 1.7 + 0.32 * len(names) * len(found)) as figure:
        axes = figure.subplots()
        for number, (stage, near) in enumerate(found.items()):
            shift = (number - (len(found) - 1) / 2) * 0.8 / len(found)
            style = {**choose_line_style(number), "linestyle": "none", "markersize": 8, "markerfacecolor": "white"}
            for row, name in enumerate(names):
                if name in near:
                    low, lower, median, upper, high = np.percentile(near[name], (0, 25, 50, 75, 100))
                    axes.hlines(row + shift, low, high, color=style["color"], linewidth=1)
                    axes.hlines(row + shift, lower, upper, color=style["color"], linewidth=5)
                    axes.plot(median, row + shift, **style)
            axes.plot([], [], label=f"{NAMES[stage]}: {_describe_worst(near)}", **style)
        _name_rows(axes, names)
        axes.set_xlabel("signal to noise of an image, dB; thin: all images, thick: their middle half, mark: the median")
        axes.grid(axis="x")
        figure.legend(loc="outside lower left", fontsize=9)
        figure.suptitle(f"Against the float network{text}", x=0.01, ha="left")


def _choose(stages: Mapping[str, Mapping[str, float]]) -> tuple[list[str], str]:
    """Return the outputs to draw, in the network's order, and what to say if they are not all."""
    names = list(dict.fromkeys(name for near in stages.values() for name in near))
    if len(names) <= SHOWN:
        return names, ""
    worst = sorted(names, key=lambda name: min(near.get(name, np.inf) for near in stages.values()))[:SHOWN]
    return [name for name in names if name in worst], f"\n(the {SHOWN} of {len(names)} outputs with the most noise)"


def _describe_worst(near: Mapping[str, np.ndarray]) -> str:
    """Return the image with the most noise in words."""
    name = min(near, key=lambda one: float(near[one].min()))
    return f"worst image {int(near[name].argmin())}, {near[name].min():.1f} dB in {printable(name)}"


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [printable(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
