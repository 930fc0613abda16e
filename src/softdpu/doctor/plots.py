"""The doctor's pictures, as SVG: the same findings give the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from softdpu.doctor.examine import Examination, LayerState
from softdpu.output.pictures import (
    BLUE,
    GREY,
    VERMILION,
    choose_bar_style,
    choose_line_style,
    picture,
    printable,
    set_logarithmic,
)

SHOWN = 20  # layers in the picture of costs


def draw_profile(found: Examination, folder: Path) -> str:
    """Draw the signal-to-noise ratio of every layer's output before and after, and of its weights before."""
    names = list(found.before)
    lines = {
        "output, AMD's recipe": [found.before[name].output_sqnr for name in names],
        "output, rescued": [found.after[name].output_sqnr for name in names],
        "weights, AMD's recipe": [found.before[name].weight_sqnr for name in names],
    }
    with picture(folder / "sqnr.svg", _choose_width(names), 4.8) as figure:
        axes = figure.subplots()
        for number, (label, values) in enumerate(lines.items()):
            axes.plot(values, label=label, **choose_line_style(number))
        _label_layers(axes, names)
        axes.set_ylabel("signal to quantization noise, dB")
        axes.grid()
        figure.legend(loc="outside lower center", ncols=len(lines))
        figure.suptitle("How the noise grows from layer to layer (higher is better)", x=0.01, ha="left")
    return "sqnr.svg"


def draw_costs(found: Examination, folder: Path) -> str:
    """Draw the noise in the network's output if a single layer is quantized, for the layers that cost the most."""
    names = sorted(found.before, key=lambda name: found.before[name].alone_sqnr)[:SHOWN]
    with picture(folder / "cost.svg", 9, 1.4 + 0.3 * len(names)) as figure:
        axes = figure.subplots()
        decibels = [found.before[name].alone_sqnr for name in names]
        noise = [100 * 10 ** (-value / 10) for value in decibels]
        axes.barh(range(len(names)), noise, 0.7, **choose_bar_style(0))
        for place, (value, ratio) in enumerate(zip(noise, decibels, strict=True)):
            axes.text(value, place, f" {ratio:.1f} dB", va="center", size=8)
        axes.set_yticks(range(len(names)), [printable(name) for name in names])
        axes.invert_yaxis()
        axes.set_xlabel("noise in the network's output, % of the signal's power")
        axes.margins(x=0.1)
        axes.grid(axis="x")
        figure.suptitle("What each layer costs if it alone is quantized by AMD's recipe", x=0.01, ha="left")
    return "cost.svg"


def draw_ranges(found: Examination, folder: Path) -> str:
    """Draw, for every layer, its channels' largest weights and where its position clips, before and after."""
    names = list(found.before)
    with picture(folder / "ranges.svg", _choose_width(names), 6.5) as figure:
        both = figure.subplots(2, 1, sharex=True, sharey=True)
        for axes, states, title in zip(both, (found.before, found.after), _TITLES, strict=True):
            largest = [states[name].ranges.max() for name in names]
            median = [max(float(np.median(states[name].ranges)), 1e-6) for name in names]
            axes.vlines(range(len(names)), median, largest, color=GREY, linewidth=1)
            axes.plot(largest, "s", color=VERMILION, label="largest channel")
            axes.plot(median, "o", color=BLUE, label="median channel")
            edges = [_find_edge(states[name]) for name in names]
            axes.plot(edges, "_", color="black", ms=11, mew=1.6, label="clips here")
            set_logarithmic(axes.yaxis, base=2)
            axes.set_ylabel("largest |weight|")
            axes.set_title(title)
            axes.grid()
        _label_layers(both[1], names)
        figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
        figure.suptitle("Ranges of the weights", x=0.01, ha="left")
    return "ranges.svg"


def draw_details(found: Examination, names: list[str], folder: Path) -> str:
    """Draw channels and values of some layers, one below the other."""
    with picture(folder / "worst.svg", 12, 2.2 * len(names)) as figure:
        grid = figure.subplots(len(names), 3, squeeze=False)
        for (before, after, values), name in zip(grid, names, strict=True):
            for axes, state, title in (
                (before, found.before[name], _TITLES[0]),
                (after, found.after[name], _TITLES[1]),
            ):
                _draw_channels(axes, found, name, state, title)
                axes.set_xlabel("output channel")
            _draw_values(values, found, name)
    return "worst.svg"


def draw_weights(found: Examination, name: str, folder: Path) -> str:
    """Draw the largest weight of every channel of a layer, before and after, with the tensor's range."""
    file = f"ranges-{_name_file(name)}.svg"
    with picture(folder / file, 8, 5) as figure:
        both = figure.subplots(2, 1, sharex=True)
        for axes, state, title in zip(both, (found.before[name], found.after[name]), _TITLES, strict=True):
            _draw_channels(axes, found, name, state, title)
        both[1].set_xlabel("output channel")
    return file


def draw_activations(found: Examination, name: str, folder: Path) -> str:
    """Draw the histogram of a layer's float output with the clip that its position gives, before and after."""
    file = f"activations-{_name_file(name)}.svg"
    with picture(folder / file, 7, 3.5) as figure:
        _draw_values(figure.subplots(), found, name)
    return file


_TITLES = ("AMD's recipe", "rescued")


def _draw_channels(axes: Axes, found: Examination, name: str, state: LayerState, title: str) -> None:
    edges = np.arange(len(state.ranges) + 1) - 0.5
    axes.stairs(state.ranges, edges, fill=True, color=BLUE)
    dead = np.isin(np.arange(len(state.ranges)), found.dead[name].channels if name in found.dead else [])
    if dead.any():
        axes.stairs(
            np.where(dead, state.ranges, 0), edges, fill=True, label="dead", hatch="///", fc="white", ec=VERMILION
        )
        axes.legend()
    axes.axhline(_find_edge(state), color="black", linestyle="--", linewidth=1)
    axes.set_ylabel("largest |weight|")
    axes.set_title(f"{printable(name)}, {title}: position {state.kernel_pos}, dashed: clips", fontsize=9)


def _draw_values(axes: Axes, found: Examination, name: str) -> None:
    axes.hist(found.before[name].sample, bins=100, color=GREY, histtype="stepfilled")
    set_logarithmic(axes.yaxis)
    for number, (state, title) in enumerate(zip((found.before[name], found.after[name]), _TITLES, strict=True)):
        if state.output_pos is not None:
            style = {"color": choose_line_style(number)["color"], "linestyle": ("--", ":")[number], "linewidth": 1.5}
            axes.axvline(127 / 2.0**state.output_pos, label=f"clips, {title}: position {state.output_pos}", **style)
            if found.before[name].sample.min() < 0:
                axes.axvline(-128 / 2.0**state.output_pos, **style)
    axes.set_title(f"{printable(name)}: float values behind the activation", fontsize=9)
    axes.set_xlabel("value")
    axes.set_ylabel("count")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _find_edge(state: LayerState) -> float:
    """Return the largest weight that a layer's position can hold."""
    return float(127 / 2.0**state.kernel_pos)


def _choose_width(names: list[str]) -> float:
    return min(18.0, max(6.0, 0.3 * len(names) + 1.5))


def _label_layers(axes: Axes, names: list[str]) -> None:
    """Name the layers below an axis; of very many only some."""
    step = -(-len(names) // 60)
    shown = [printable(name) if place % step == 0 else "" for place, name in enumerate(names)]
    axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=7)
    axes.set_xlabel("layer, in the order of the network")


def _name_file(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
