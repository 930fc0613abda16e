"""What a sweep ends in: a table of all variants and a picture of what accuracy costs, with the best marked.

A row is on the Pareto front of a cost when no other row is at least as accurate and at least as cheap, and better in
one of the two. It is called best only if the front holds no cheaper row whose accuracy is equal within the noise: half
of the 95 % interval of an accuracy over so many images, and 5 % of the images per second, which are measured once.
Other tasks are compared by their first metric, whose noise is not known.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from softdpu.output import files
from softdpu.output.pictures import BLUE, GREY, picture, printable
from softdpu.sweep.variants import list_results
from softdpu.tasks import CLASSIFICATION, Metric, Task
from softdpu.xmodel.show import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Row(NamedTuple):
    """One variant on one board.

    Attributes:
        variant, target: names.
        accuracies: 0..1, by stage in the order of the build; of other tasks than classification their first metric.
        accuracy: 0..1, of the network that was compiled, over all validation images.
        bytes: of the .xmodel.
        operations: of one run; a multiplication and an addition count 2.
        fps: images per second of the software DPU on this machine.
        images: over which the accuracy was measured; 0: not known, then it has no noise.
        counted: whether the accuracy is a share of the images; else its noise is not known.
    """

    variant: str
    target: str
    accuracies: dict[str, float]
    accuracy: float
    bytes: int
    operations: int
    fps: float
    images: int = 0
    counted: bool = True

    @property
    def noise(self) -> float:
        """Half of the accuracy's 95 % interval, 0..1, by the normal approximation."""
        known = self.images and self.counted
        return 1.96 * math.sqrt(self.accuracy * (1 - self.accuracy) / self.images) if known else 0.0


class Standing(NamedTuple):
    """How the rows stand in one cost, as indexes.

    Attributes:
        front: the rows on the Pareto front.
        best: those of the front that no cheaper one equals within the noise.
        ties: to each row, the rows of the front with its cost and its accuracy within the noise.
    """

    front: set[int]
    best: set[int]
    ties: dict[int, list[int]]


# name: (attribute of Row, axis, what to multiply with, whether more is better)
COSTS: dict[str, tuple[str, str, float, bool]] = {
    "size": ("bytes", "size of the .xmodel, KiB", 1 / 1024, False),
    "operations": ("operations", "operations per image, millions", 1e-6, False),
    "throughput": ("fps", "images per second, on this machine", 1, True),
}
ACCURACY = CLASSIFICATION.metrics[0]
ON_TARGET = "on target"
LABELLED = 24  # points; of more, only those on a front are named
COST_NOISE = {"throughput": 0.05}  # of the cost; sizes and operations have none
APART = 9  # pixels; points nearer to each other share one label


def compare(build: Path, compared: Sequence[str], output: Path, task: Task = CLASSIFICATION) -> None:
    """Print the table of the variants, and write it as table.csv and table.json, and the picture sweep.svg.

    Args:
        build: folder of the plain build, in which each variant has its own.
        compared: one row each, variant/target.
        output: folder.
        task: whose first metric is compared.

    Raises:
        SoftdpuError: if a result is missing or is none.
    """
    metric = task.metrics[0]
    rows = [read_row(build, name, task) for name in compared]
    standings = {cost: stand(rows, cost) for cost in COSTS}
    table = _make_table(rows, standings, metric)
    files.write_text(output / "table.csv", _write_csv(table))
    files.write_json(output / "table.json", {"rows": table})
    draw(output / "sweep.svg", rows, standings, metric)
    print(_show_text(rows, standings, metric))


def read_row(build: Path, compared: str, task: Task = CLASSIFICATION) -> Row:
    """Return what was measured of `compared`, variant/target.

    Raises:
        SoftdpuError: if a file is missing or has no such numbers.
    """
    variant, target = compared.split("/")
    ladder, run, xmodel = map(Path, list_results(str(build), compared))
    steps, key = _read_numbers(ladder, "steps"), task.metrics[0].key
    with files.expecting(f"{ladder}, {run}", "accuracies and fps"):
        accuracies = {step["name"]: float(step[key]) for step in steps}
        fps = float(_read_numbers(run, "fps"))
        compiled, images = [(float(step[key]), int(step["images"])) for step in steps if step["name"] != ON_TARGET][-1]
    found = describe(xmodel)
    size, operations = found["bytes"], found["workload"] or 0
    return Row(variant, target, accuracies, compiled, size, operations, fps, images, task == CLASSIFICATION)


def _read_numbers(path: Path, key: str) -> Any:
    with files.expecting(path, f"JSON with {key}"):
        return json.loads(path.read_text(encoding="utf-8"))[key]


def find_front(rows: Sequence[Row], cost: str) -> set[int]:
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


def stand(rows: Sequence[Row], cost: str) -> Standing:
    """Return which rows are on the front of `cost`, which of them are best, and which cannot be told apart."""
    attribute, _, _, more_is_better = COSTS[cost]
    slack = COST_NOISE.get(cost, 0.0)

    def is_cheaper(one: Row, other: Row) -> bool:
        a, b = getattr(one, attribute), getattr(other, attribute)
        return a > b * (1 + slack) if more_is_better else a * (1 + slack) < b

    def is_as_accurate(one: Row, other: Row) -> bool:
        return abs(one.accuracy - other.accuracy) <= max(one.noise, other.noise)

    front = find_front(rows, cost)
    ties: dict[int, list[int]] = {}
    beaten = set()
    for index, row in enumerate(rows):
        equal = [i for i in sorted(front) if i != index and is_as_accurate(row, rows[i])]
        beaten |= {index} if any(is_cheaper(rows[i], row) for i in equal) else set()
        ties[index] = [i for i in equal if not is_cheaper(rows[i], row) and not is_cheaper(row, rows[i])]
    return Standing(front, front - beaten, ties)


def _make_table(rows: Sequence[Row], standings: dict[str, Standing], metric: Metric) -> list[dict[str, Any]]:
    return [
        {
            "variant": row.variant,
            "target": row.target,
            **row.accuracies,
            metric.key: row.accuracy,
            "bytes": row.bytes,
            "operations": row.operations,
            "fps": row.fps,
            "images": row.images,
            "noise": round(row.noise, 6),
            "pareto": " ".join(cost for cost, standing in standings.items() if index in standing.front),
            "best": " ".join(cost for cost, standing in standings.items() if index in standing.best),
        }
        for index, row in enumerate(rows)
    ]


def _write_csv(table: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in table for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def _show_text(rows: Sequence[Row], standings: dict[str, Standing], metric: Metric = ACCURACY) -> str:
    width = max(len(f"{row.variant} {row.target}") for row in rows)
    head = f"{metric.title:>10}  {'on target':>10}  {'KiB':>8}  {'M operations':>12}  {'images/s':>8}  best in"
    lines = [f"{'':<{width}}  {head}"]
    for index, row in enumerate(rows):
        name = f"{row.variant:<{width - len(row.target)}}{row.target}"
        on_target = f"{100 * row.accuracies[ON_TARGET]:.2f} %" if ON_TARGET in row.accuracies else ""
        best = ", ".join(filter(None, (_say_best(rows, index, cost, standing) for cost, standing in standings.items())))
        lines.append(
            f"{name}  {100 * row.accuracy:>8.2f} %  {on_target:>10}  {row.bytes / 1024:>8,.0f}"
            f"  {row.operations / 1e6:>12,.1f}  {row.fps:>8,.0f}  {best}".rstrip()
        )
    noise = max(row.noise for row in rows)
    if noise:
        lines.append(
            f"Accuracies that differ by less than {100 * noise:.2f} points, half of the 95 % interval over so many"
            " images, count as equal, and so do images/s within 5 %. (=): equal to the rows named."
        )
    return "\n".join(lines)


def _say_best(rows: Sequence[Row], index: int, cost: str, standing: Standing) -> str:
    """Return the cost if the row is best in it, with the rows that equal it within the noise, else nothing."""
    if index not in standing.best and not set(standing.ties[index]) & standing.best:
        return ""
    ties = [f"{rows[i].variant} {rows[i].target}" for i in standing.ties[index]]
    return f"{cost} (= {', '.join(ties)})" if ties else cost


def draw(path: Path, rows: Sequence[Row], standings: dict[str, Standing], metric: Metric = ACCURACY) -> None:
    """Draw a metric against every cost, one beside the other; what is on a front is joined, what is best is filled."""
    with picture(path, 4.2 * len(COSTS), 4.4) as figure:
        all_axes = figure.subplots(1, len(COSTS), sharey=True, squeeze=False)[0]
        for axes, (cost, (attribute, label, factor, _)) in zip(all_axes, COSTS.items(), strict=True):
            standing = standings[cost]
            points = [(factor * getattr(row, attribute), 100 * row.accuracy) for row in rows]
            front = sorted(points[index] for index in standing.front)
            axes.plot(*zip(*front, strict=True), color=BLUE, label="Pareto front", zorder=2)
            bars = [100 * row.noise for row in rows]
            axes.errorbar(*zip(*points, strict=True), yerr=bars, fmt="none", ecolor=GREY, elinewidth=0.8, zorder=1)
            best = [point for index, point in enumerate(points) if index in standing.best]
            others = [point for index, point in enumerate(points) if index not in standing.best]
            axes.scatter(*zip(*best, strict=True), color=BLUE, label="best", zorder=3)
            if others:
                axes.scatter(
                    *zip(*others, strict=True), facecolor="white", edgecolor=GREY, label="other variants", zorder=2
                )
            axes.set_xlabel(label)
            axes.margins(0.18)
            axes.grid()
            shown = [i for i in range(len(rows)) if i in standing.front or len(rows) <= LABELLED]
            _write_names(axes, rows, points, shown)
        all_axes[0].set_ylabel(f"{metric.title} of the compiled network, %")
        all_axes[0].legend(loc="best")
        title = metric.title[0].upper() + metric.title[1:] if metric.title.islower() else metric.title
        interval = " (bars: 95 % interval)" if all(row.counted for row in rows) else ""
        figure.suptitle(f"{title} against what it costs{interval}", x=0.01, ha="left")


def _write_names(axes: Axes, rows: Sequence[Row], points: Sequence[tuple[float, float]], shown: Sequence[int]) -> None:
    """Write the names beside the points shown; those of points that lie on each other stand below one another."""
    targets = {row.target for row in rows}
    axes.autoscale_view()  # or transData is that of an empty picture
    groups: list[tuple[Any, tuple[float, float], list[str]]] = []
    for index in shown:
        place = axes.transData.transform(points[index])
        name = rows[index].variant if len(targets) == 1 else f"{rows[index].variant} {rows[index].target}"
        for first, _, names in groups:
            if math.dist(first, place) < APART:
                names.append(printable(name))
                break
        else:
            groups.append((place, points[index], [printable(name)]))
    for _, point, names in groups:
        va = "bottom" if len(names) == 1 else "center"
        axes.annotate("\n".join(names), point, xytext=(5, 4), textcoords="offset points", fontsize=8, va=va)
