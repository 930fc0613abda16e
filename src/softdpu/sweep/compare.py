"""What a sweep ends in: a table of all variants and a picture of what accuracy costs, with the best marked.

A row is on the Pareto front of a cost when no other row is at least as accurate and at least as cheap, and better in
one of the two.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.output.pictures import BLUE, GREY, picture, printable
from softdpu.sweep.variants import results
from softdpu.xmodel.show import describe


class Row(NamedTuple):
    """One variant on one board.

    Attributes:
        variant, target: names.
        accuracies: 0..1, by stage in the order of the build.
        accuracy: 0..1, of the network that was compiled, over all validation images.
        bytes: of the .xmodel.
        operations: of one run; a multiplication and an addition count 2.
        fps: images a second of the software DPU on this machine.
    """

    variant: str
    target: str
    accuracies: dict[str, float]
    accuracy: float
    bytes: int
    operations: int
    fps: float


# name: (attribute of Row, axis, what to multiply with, whether more is better)
COSTS: dict[str, tuple[str, str, float, bool]] = {
    "size": ("bytes", "size of the .xmodel, KiB", 1 / 1024, False),
    "operations": ("operations", "operations an image, millions", 1e-6, False),
    "throughput": ("fps", "images a second, on this machine", 1, True),
}
ON_TARGET = "on target"
LABELLED = 24  # points; of more, only those on a front are named


def compare(build: Path, compared: Sequence[str], output: Path) -> None:
    """Print the table of the variants, and write it as table.csv and table.json, and the picture sweep.svg.

    Args:
        build: folder of the plain build, in which each variant has its own.
        compared: one row each, variant/target.
        output: folder.

    Raises:
        SoftdpuError: if a result is missing or is none.
    """
    rows = [read_row(build, name) for name in compared]
    fronts = {cost: pareto(rows, cost) for cost in COSTS}
    table = _table(rows, fronts)
    files.write_text(output / "table.csv", _csv(table))
    files.write_json(output / "table.json", {"rows": table})
    draw(output / "sweep.svg", rows, fronts)
    print(_text(rows, fronts))


def read_row(build: Path, compared: str) -> Row:
    """Return what was measured of `compared`, variant/target.

    Raises:
        SoftdpuError: if a file is missing or has no such numbers.
    """
    variant, target = compared.split("/")
    ladder, run, xmodel = map(Path, results(str(build), compared))
    steps = _numbers(ladder, "steps")
    try:
        accuracies = {step["name"]: float(step["accuracy"]) for step in steps}
        fps = float(_numbers(run, "fps"))
        compiled = [step for name, step in accuracies.items() if name != ON_TARGET][-1]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SoftdpuError(f"{ladder}, {run}: expected accuracies and fps ({error}); make them again") from None
    found = describe(xmodel)
    return Row(variant, target, accuracies, compiled, found["bytes"], found["workload"] or 0, fps)


def _numbers(path: Path, key: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SoftdpuError(f"{path}: expected JSON with {key} ({error!r}); make it again") from None


def pareto(rows: Sequence[Row], cost: str) -> set[int]:
    """Return the indexes of the rows that no other beats in accuracy against `cost`, a key of COSTS."""
    attribute, _, _, more_is_better = COSTS[cost]
    sign = -1 if more_is_better else 1
    order = sorted(range(len(rows)), key=lambda i: (sign * getattr(rows[i], attribute), -rows[i].accuracy))
    front, best, best_cost = set(), -math.inf, math.nan
    for index in order:
        price = getattr(rows[index], attribute)
        if rows[index].accuracy > best or (rows[index].accuracy == best and price == best_cost):
            front.add(index)
            best, best_cost = rows[index].accuracy, price
    return front


def _table(rows: Sequence[Row], fronts: dict[str, set[int]]) -> list[dict[str, Any]]:
    return [
        {
            "variant": row.variant,
            "target": row.target,
            **row.accuracies,
            "accuracy": row.accuracy,
            "bytes": row.bytes,
            "operations": row.operations,
            "fps": row.fps,
            "pareto": " ".join(cost for cost in COSTS if index in fronts[cost]),
        }
        for index, row in enumerate(rows)
    ]


def _csv(table: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in table for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _text(rows: Sequence[Row], fronts: dict[str, set[int]]) -> str:
    width = max(len(f"{row.variant} {row.target}") for row in rows)
    head = f"{'accuracy':>10}  {'on target':>10}  {'KiB':>8}  {'M operations':>12}  {'images/s':>8}  best in"
    lines = [f"{'':<{width}}  {head}"]
    for index, row in enumerate(rows):
        name = f"{row.variant:<{width - len(row.target)}}{row.target}"
        on_target = f"{100 * row.accuracies[ON_TARGET]:.2f} %" if ON_TARGET in row.accuracies else ""
        best = ", ".join(cost for cost in COSTS if index in fronts[cost])
        lines.append(
            f"{name}  {100 * row.accuracy:>8.2f} %  {on_target:>10}  {row.bytes / 1024:>8,.0f}"
            f"  {row.operations / 1e6:>12,.1f}  {row.fps:>8,.0f}  {best}".rstrip()
        )
    return "\n".join(lines)


def draw(path: Path, rows: Sequence[Row], fronts: dict[str, set[int]]) -> None:
    """Draw accuracy against every cost, one beside the other; what is on a front is filled, joined and named."""
    targets = {row.target for row in rows}
    with picture(path, 4.2 * len(COSTS), 4.4) as figure:
        all_axes = figure.subplots(1, len(COSTS), sharey=True, squeeze=False)[0]
        for axes, (cost, (attribute, label, factor, _)) in zip(all_axes, COSTS.items(), strict=True):
            points = [(factor * getattr(row, attribute), 100 * row.accuracy) for row in rows]
            front = sorted(points[index] for index in fronts[cost])
            axes.plot(*zip(*front, strict=True), color=BLUE, marker="o", label="Pareto front", zorder=2)
            axes.scatter(
                *zip(*points, strict=True), facecolor="white", edgecolor=GREY, label="other variants", zorder=1
            )
            for index, (row, point) in enumerate(zip(rows, points, strict=True)):
                if index in fronts[cost] or len(rows) <= LABELLED:
                    name = row.variant if len(targets) == 1 else f"{row.variant} {row.target}"
                    place = {"xytext": (4, 4), "textcoords": "offset points", "fontsize": 8}
                    axes.annotate(printable(name), point, **place)
            axes.set_xlabel(label)
            axes.margins(0.18)
            axes.grid()
        all_axes[0].set_ylabel("accuracy of the compiled network, %")
        all_axes[0].legend(loc="lower right")
        figure.suptitle("Accuracy against what it costs", x=0.01, ha="left")
