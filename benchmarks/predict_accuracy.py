r"""How far `softdpu predict` is from public measurements, each network predicted without having been fitted to.

The rows are AMD's published frames/s: a CSV with the columns version, board, clock_mhz, cores, model, input, fps_1t and
fps_mt. The constants are fitted again for every network that is left out. Bars: half of the rows within 10 %, nine in
ten within 25 %. With --write the constants fitted to all rows go into the product.

Example:
    python benchmarks/predict_accuracy.py --rows zoo_perf_public.csv --layers dpu_layer_profiles.csv
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from published_networks import family, network_of, networks

from softdpu.numbers import boards
from softdpu.output import files
from softdpu.predict.equations import CONSTANTS, Constants, Work, compute_times, count_work, read_constants
from softdpu.predict.predict import MODELLED, app_ms
from softdpu.predict.threads import App, compute_rate

BARS = (0.10, 0.25)  # median, 90th percentile
HELD = 0.9  # the interval is as wide as this share of the held-out rows needs; other kinds of networks err more
MANY = 8  # threads of "multi-thread", more than any of these boards needs
FITTED = (
    *("engine_share", "bandwidth_isa0", "bandwidth_isa1", "start_isa0", "start_isa1"),
    *("slowdown_2", "slowdown_3", "app_isa0", "app_isa1", "processor_value"),
)
# One row repeats another network's numbers (2.0, KV260: those of ResNet-101 stand for ResNet-152).
WRONG = {("2.0", "kv260", "resnet152")}


@dataclass(frozen=True)
class Row:
    """One published number: frames/s of a network on a board with one thread or many."""

    version: str
    board: str
    network: str
    isa: int
    clock_mhz: float
    pixels: int
    threads: int
    fps: float

    @property
    def case(self) -> tuple[object, ...]:
        """What the model knows of the row."""
        return self.board, self.network, self.isa, self.clock_mhz, self.threads


class Model:
    """The product's equations over the layer tables, with constants to try."""

    def __init__(self) -> None:
        self.works: dict[tuple[str, int], tuple[Work, int]] = {}
        for name, make in networks().items():
            for isa, version in ((0, "2.0"), (1, "3.0")):
                dpu = boards.find_target("zcu102", version).dpu
                largest = max(dpu.limits["avg"].kernel)
                layers, values = make(), 0
                for layer in [one for one in layers if one.kind == "pool" and one.kernel[0] > largest]:
                    values += math.prod(layer.source)  # the processor's work
                    layers.remove(layer)
                self.works[name, isa] = count_work(layers, dpu), values

    def fps(self, row: Row, values: Constants) -> float:
        """Return the predicted frames/s of a row."""
        work, other = self.works[row.network, row.isa]
        app = App(app_ms(row.pixels, row.isa, values) + other * values["processor_value"] * 1e-6)

        def core_ms(cores: int) -> float:
            return float(compute_times(work, values, row.isa, row.clock_mhz, cores).total.sum())

        return compute_rate(core_ms, boards.find_target(row.board).cores, row.threads, app)

    def errors(self, rows: Iterable[Row], values: Constants) -> np.ndarray:
        """Return log(predicted / measured) of each row."""
        known: dict[tuple[object, ...], float] = {}
        for row in rows:
            if row.case not in known:
                known[row.case] = self.fps(row, values)
        return np.array([math.log(known[row.case] / row.fps) for row in rows])

    def fit(self, rows: Sequence[Row], start: Constants) -> dict[str, float]:
        """Return constants that make the mean of |error|^1.2 small: one constant after another, up or down."""
        values = dict(start)
        steps = dict.fromkeys(FITTED, 0.2)

        def loss(trial: Constants) -> float:
            return float(np.mean(np.abs(self.errors(rows, trial)) ** 1.2))

        best = loss(values)
        for _ in range(60):
            for name in FITTED:
                for sign in (1, -1):
                    trial = {**values, name: values[name] * math.exp(sign * steps[name])}
                    if (found := loss(trial)) < best - 1e-9:
                        best, values, steps[name] = found, trial, steps[name] * 1.2
                        break
                else:
                    steps[name] *= 0.5
            if max(steps.values()) < 5e-3:
                break
        return values


def read_rows(path: Path) -> tuple[list[Row], int]:
    """Return the rows of modelled boards whose network has a layer table, and how many others those boards have."""
    rows, left_out = [], 0
    with open(path, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            board = next((name for name in MODELLED if name in line["board"].lower()), None)
            network = network_of(line["model"])
            if board is None:
                continue
            if network is None or (line["version"], board, network) in WRONG or "-04" in line["board"]:
                left_out += 1
                continue
            height, width = (int(part) for part in line["input"].split("x")[:2])
            isa = int(float(line["version"]) >= 2.5)
            for threads, column in ((1, "fps_1t"), (MANY, "fps_mt")):
                if line[column]:
                    clock, fps = float(line["clock_mhz"]), float(line[column])
                    rows.append(Row(line["version"], board, network, isa, clock, height * width, threads, fps))
    return rows, left_out


def held_out(model: Model, rows: Sequence[Row], start: Constants) -> list[tuple[Row, float]]:
    """Return each row with log(predicted / measured), fitted to the other networks only."""
    found = []
    for name in sorted({family(row.network) for row in rows}):
        inside = [row for row in rows if family(row.network) != name]
        outside = [row for row in rows if family(row.network) == name]
        errors = model.errors(outside, model.fit(inside, start))
        found += list(zip(outside, errors, strict=True))
        print(f"  without {name:16} {_text(errors)}", flush=True)
    return found


def _text(errors: Sequence[float] | np.ndarray) -> str:
    off = np.abs(np.expm1(np.asarray(errors)))
    median, most = np.median(off), np.quantile(off, 0.9)
    verdict = "met" if median <= BARS[0] and most <= BARS[1] else "NOT MET"
    return f"{len(off):4} rows, median {median:6.1%}, 90th percentile {most:6.1%}  bars {verdict}"


def write_constants(values: Constants) -> None:
    """Write the fitted values into the product's file, three digits each."""
    with open(CONSTANTS, encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line["value"] = f"{values[line['name']]:.3g}"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    files.write_text(CONSTANTS, text.getvalue())


def compare_layers(path: Path) -> None:
    """Print the FCN8 layers of AMD's profile beside the equations: 3x3 convolutions at 224 to 14 pixels."""
    from softdpu.predict.layers import Layer

    sizes = {"block1": (224, 64), "block2": (112, 128), "block3": (56, 256), "block4": (28, 512), "block5": (14, 512)}
    dpu, off = boards.find_target("zcu102", "2.0").dpu, []
    with open(path, encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["kernel"] == "fcn8" and line["node"].startswith("block")]
    for line in lines:
        side, channels = sizes[line["node"][:6]]
        before = round(float(line["workload_mop"]) * 1e6 / (2 * side * side * channels * 9))
        layer = Layer(line["node"], "conv", (side, side, before), (side, side, channels), (3, 3), sources=("x",))
        times = compute_times(count_work([layer], dpu), read_constants(), 0, 300)
        milliseconds = float(times.multiply[0])
        off.append(milliseconds / float(line["runtime_ms"]) - 1)
        print(f"  {line['node']:28} measured {float(line['runtime_ms']):6.3f} ms, multiply {milliseconds:6.3f} ms")
    print(f"  median of |error| {np.median(np.abs(off)):.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, required=True, metavar="CSV", help="published frames/s")
    parser.add_argument("--layers", type=Path, metavar="CSV", help="also compare measured layers")
    parser.add_argument("--write", action="store_true", help="write constants fitted to all rows into the product")
    args = parser.parse_args()
    rows, left_out = read_rows(args.rows)
    model, now = Model(), read_constants()
    print(f"{len(rows)} numbers; {left_out} rows left out: pruned networks, one board revision, one wrong row")
    print(f"constants of the product, fitted to all: {_text(model.errors(rows, now))}")
    print("each network predicted with constants fitted to the others:")
    found = held_out(model, rows, now)
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row, error in found:
        groups[row.board, "1 thread" if row.threads == 1 else "threads"].append(error)
    for (board, threads), errors in sorted(groups.items()):
        print(f"  {board:8} {threads:9} {_text(errors)}")
    print(f"  {'all':18} {_text([error for _, error in found])}")
    widths = {}
    for name, many in (("interval_one", False), ("interval_many", True)):
        errors = [abs(error) for row, error in found if (row.threads > 1 and row.board != "kv260") == many]
        inside = np.mean(np.array(errors) <= now[name])
        widths[name] = float(np.quantile(errors, HELD))
        print(f"  {name} {now[name]:.3g} holds {inside:.0%} of held-out rows; {HELD:.0%} need {widths[name]:.3f}")
    if args.layers:
        print("layers of AMD's profile:")
        compare_layers(args.layers)
    if args.write:
        write_constants({**model.fit(rows, now), **widths})


if __name__ == "__main__":
    main()
