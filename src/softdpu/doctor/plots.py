"""The doctor's pictures, as SVG: the same findings give the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot

from softdpu.doctor.examine import Examination
from softdpu.files import whole_file

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "softdpu"


def _save(figure: Any, path: Path) -> str:
    figure.tight_layout()
    with whole_file(path) as part:
        figure.savefig(part, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return path.name


def sqnr_profile(found: Examination, folder: Path) -> str:
    """Draw the signal-to-noise ratio of every layer's output before and after, and of its weights before."""
    names = list(found.before)
    figure, axes = pyplot.subplots(figsize=(max(6.0, 0.3 * len(names)), 4.5))
    axes.plot([found.before[n].output_sqnr for n in names], "o-", color="#c0392b", label="output, AMD's recipe")
    axes.plot([found.after[n].output_sqnr for n in names], "o-", color="#2471a3", label="output, rescued")
    axes.plot([found.before[n].weight_sqnr for n in names], ":", color="#7f8c8d", label="weights, AMD's recipe")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_ylabel("signal to quantization noise, dB")
    axes.set_title("How the noise grows from layer to layer")
    axes.grid(alpha=0.3)
    axes.legend()
    return _save(figure, folder / "sqnr.svg")


def weight_ranges(found: Examination, name: str, folder: Path) -> str:
    """Draw the largest weight of every channel of a layer, before and after, with the tensor's range."""
    figure, both = pyplot.subplots(2, 1, figsize=(8, 5), sharex=True)
    dead = found.dead[name].channels if name in found.dead else []
    for axes, state, title in zip(both, (found.before[name], found.after[name]), ("before", "after"), strict=True):
        colors = np.where(np.isin(np.arange(len(state.ranges)), dead), "#c0392b", "#2471a3")
        axes.bar(range(len(state.ranges)), state.ranges, color=colors, width=1.0)
        axes.axhline(127 / 2.0**state.kernel_pos, color="black", linestyle="--", linewidth=1)
        axes.set_ylabel("largest |weight|")
        axes.set_title(f"{name} {title}: position {state.kernel_pos}, dashed: where it clips; red: dead", fontsize=9)
    both[1].set_xlabel("output channel")
    return _save(figure, folder / f"ranges-{_file(name)}.svg")


def activations(found: Examination, name: str, folder: Path) -> str:
    """Draw the histogram of a layer's float output with the clip that its position gives, before and after."""
    figure, axes = pyplot.subplots(figsize=(7, 3.5))
    axes.hist(found.before[name].sample, bins=100, color="#95a5a6", log=True)
    for state, color, title in ((found.before[name], "#c0392b", "before"), (found.after[name], "#2471a3", "after")):
        if state.output_pos is not None:
            edge = 127 / 2.0**state.output_pos
            axes.axvline(
                edge, color=color, linestyle="--", label=f"clip {title}: {edge:g} (position {state.output_pos})"
            )
            if found.before[name].sample.min() < 0:
                axes.axvline(-128 / 2.0**state.output_pos, color=color, linestyle="--")
    axes.set_title(f"{name}: float values behind the activation")
    axes.set_xlabel("value")
    axes.set_ylabel("count")
    axes.legend()
    return _save(figure, folder / f"activations-{_file(name)}.svg")


def _file(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
