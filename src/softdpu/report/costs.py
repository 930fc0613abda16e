"""Time and memory of every rule, from the files that Snakemake's `benchmark:` writes."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from softdpu.errors import SoftdpuError
from softdpu.output.pages import note, table, write_page
from softdpu.output.pictures import choose_bar_style, draw_placeholder, picture


class Cost(NamedTuple):
    """What the jobs of one rule took.

    Attributes:
        name: of the rule, with the target or split if there are several.
        jobs: how many.
        seconds: on the wall, of all jobs.
        cpu_seconds: of all jobs.
        peak_mib: resident memory of the largest job; nan for one too short to be measured.
    """

    name: str
    jobs: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


def read_costs(files: Iterable[Path]) -> list[Cost]:
    """Return the costs of all rules, the longest first; shards of the records count as one rule.

    Raises:
        SoftdpuError: if a file is not one of Snakemake's.
    """
    found: dict[str, list[tuple[float, float, float]]] = {}
    for file in sorted(files):
        name = re.sub(r"_\d+$", "", file.stem)
        try:
            with open(file, encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines, delimiter="\t"):
                    jobs = found.setdefault(name, [])
                    jobs.append((float(row["s"]), _number(row["cpu_time"]), _number(row["max_rss"])))
        except (OSError, ValueError, KeyError) as error:
            raise SoftdpuError(f"{file}: expected a benchmark file of Snakemake ({error}); remove it") from None
    costs = [
        Cost(name, len(jobs), sum(job[0] for job in jobs), sum(job[1] for job in jobs), max(job[2] for job in jobs))
        for name, jobs in found.items()
    ]
    return sorted(costs, key=lambda cost: (-cost.seconds, cost.name))


def _number(text: str) -> float:
    return float(text) if text not in ("NA", "-") else float("nan")


def draw_costs(path: Path, costs: Sequence[Cost]) -> None:
    """Draw time and peak memory of every rule."""
    if not costs:
        draw_placeholder(path, "Time and memory by rule", "There are no benchmark files; they come with a build.")
        return
    with picture(path, 9.5, 1.4 + 0.32 * len(costs)) as figure:
        time, memory = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        places = range(len(costs))
        time.barh(places, [cost.seconds for cost in costs], 0.7, label="on the clock", **choose_bar_style(0))
        time.barh(places, [cost.cpu_seconds for cost in costs], 0.3, label="processor time", **choose_bar_style(1))
        time.set_yticks(places, [_label(cost) for cost in costs])
        time.invert_yaxis()
        time.set_xlabel("time of all jobs, s")
        time.legend()
        memory.barh(places, [cost.peak_mib for cost in costs], 0.7, **choose_bar_style(2))
        memory.set_xlabel("largest resident memory, MiB")
        for axes in (time, memory):
            axes.grid(axis="x")
            axes.tick_params(axis="y", length=0)
        figure.suptitle("Time and memory by rule", x=0.01, ha="left")


def _label(cost: Cost) -> str:
    return cost.name if cost.jobs == 1 else f"{cost.name} ({cost.jobs} jobs)"


def write_costs(path: Path, costs: Sequence[Cost]) -> None:
    """Write the same as a table."""
    rows = [
        (cost.name, cost.jobs, f"{cost.seconds:,.1f}", f"{cost.cpu_seconds:,.1f}", f"{cost.peak_mib:,.0f}")
        for cost in costs
    ]
    columns = ["rule", "jobs", "time, s", "processor time, s", "largest resident memory, MiB"]
    total = sum(cost.seconds for cost in costs)
    text = f"{total:,.1f} s of jobs in all; jobs that ran side by side took less on the clock."
    write_page(path, "Time and memory by rule", [table(columns, rows, range(1, 5)), note(text)])
