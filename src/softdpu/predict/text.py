"""A prediction as values for JSON and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from softdpu.predict.advice import find_costly, list_faster_boards
from softdpu.predict.predict import COVERAGE, MODELLED, Prediction, Range, find_front

APPS = (("dpu", "DPU only"), ("app", "with AMD's C++ app"), ("python", "with a Python app"))


def explain_no_numbers(prediction: Prediction) -> str:
    """Return why a board has no numbers."""
    if prediction.target.name in MODELLED:
        return "not modelled: measurements are of the DPU of the board's own image, not of this one"
    return f"not modelled: no public measurements that the model could be fitted to; modelled are {', '.join(MODELLED)}"


def as_dict(prediction: Prediction, batch: int | None = None) -> dict[str, Any]:
    """Return everything for JSON; `batch` adds the seconds for that many images."""
    target = prediction.target
    found: dict[str, Any] = {
        "model": prediction.model,
        "target": target.name,
        "vitis_ai": target.vitis_ai,
        "dpu": target.dpu.name,
        "modelled": prediction.modelled,
    }
    if prediction.latency_ms is None:
        return {**found, "reason": explain_no_numbers(prediction)}
    rows = [
        {"threads": speed.threads, **{name: getattr(speed, name).as_dict() for name, _ in APPS}}
        for speed in prediction.speeds
    ]
    for row, speed in zip(rows, prediction.speeds, strict=True):
        if batch:
            row["batch"] = {"images": batch, "seconds": float(f"{batch / speed.app.value:.4g}")}
    return {
        **found,
        "cores": target.cores,
        "clock_mhz": target.clock_mhz,
        "interval": COVERAGE,
        "latency_ms": prediction.latency_ms.as_dict(),
        "fps": rows,
        "most_costly": find_costly(prediction),
        "layers": prediction.layers(),
    }


def show_lines(prediction: Prediction, others: Sequence[Prediction] = (), batch: int | None = None) -> Iterator[str]:
    """Yield the lines that people read: layers, frames/s by threads, advice."""
    target = prediction.target
    yield f"{prediction.model} on {target.title}, {target.dpu.name}, Vitis AI {target.vitis_ai}"
    if prediction.latency_ms is None:
        yield explain_no_numbers(prediction)
        return
    yield from _show_layers(prediction)
    yield ""
    yield f"one frame on one core: {_show_range(prediction.latency_ms, 2)} ms, without the app"
    yield ""
    yield f"frames/s (in brackets: {COVERAGE:.0%} of measurements of other networks lie within)"
    yield "threads" + "".join(f"  {title:>24}" for _, title in APPS) + (f"  {batch} images" if batch else "")
    for speed in prediction.speeds:
        row = f"{speed.threads:7d}" + "".join(f"  {_show_range(getattr(speed, name)):>24}" for name, _ in APPS)
        yield row + (f"  {batch / speed.app.value:8.2f} s" if batch else "")
    yield ""
    yield "the layers that cost most, and what would help:"
    for number, layer in enumerate(find_costly(prediction), 1):
        yield (
            f"  {number}. {layer['name']}: {layer['milliseconds']:.3f} ms, {layer['share']:.0%} of the time, "
            f"bound by {layer['bound']}"
        )
        yield from (f"       {text}" for text in layer["help"])
    faster = list_faster_boards(prediction, others)
    if faster:
        yield "a faster board:"
        yield from (f"  {line}" for line in faster)


def _show_layers(prediction: Prediction) -> Iterator[str]:
    rows = prediction.layers()
    width = min(max((len(row["name"]) for row in rows), default=5), 48)
    yield f"{'layer':{width}}  {'output':>14}  {'cycles':>9}      ms  {'bound by':14}  used  DRAM bytes"
    for row in rows:
        used = f"{row['utilisation']:4.0%}" if row["utilisation"] is not None else "   -"
        size = "x".join(map(str, row["output"]))
        yield (
            f"{row['name'][:width]:{width}}  {size:>14}  {row['cycles']:>9,}  {row['milliseconds']:6.3f}  "
            f"{row['bound']:14}  {used}  {row['dram_bytes']:>10,}"
        )


def show_boards(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Yield a line per board: latency, frames/s, and whether no other board beats it in both."""
    front = {id(one) for one in find_front(predictions)}
    yield f"{predictions[0].model}: one frame on one core, and frames/s with AMD's C++ app"
    yield f"{'board':12} {'Vitis AI':8} {'cores':>5}  {'latency, ms':>22}  {'threads':>7}  {'frames/s':>24}  best"
    known = [one for one in predictions if one.latency_ms and one.speeds]
    for one in sorted(known, key=lambda one: -max(speed.app.value for speed in one.speeds)):
        assert one.latency_ms
        best = max(one.speeds, key=lambda speed: (round(speed.app.value, 6), -speed.threads))
        yield (
            f"{one.target.name:12} {one.target.vitis_ai:8} {one.target.cores:5d}  "
            f"{_show_range(one.latency_ms, 2):>22}  "
            f"{best.threads:7d}  {_show_range(best.app):>24}  {'*' if id(one) in front else ''}".rstrip()
        )
    yield "* no other board is better in one and as good in the other"
    others = [one.target.name for one in predictions if not one.modelled]
    if others:
        yield f"not modelled, as there are no measurements to fit to or they did not fit: {', '.join(others)}"


def describe_boards(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Return the same for JSON."""
    front = {id(one) for one in find_front(predictions)}
    boards = []
    for one in predictions:
        found = {key: value for key, value in as_dict(one).items() if key not in ("layers", "most_costly", "model")}
        boards.append({**found, "pareto": id(one) in front})
    return {"model": predictions[0].model, "interval": COVERAGE, "boards": boards}


def _show_range(found: Range, digits: int | None = None) -> str:
    places = digits if digits is not None else 0 if found.value >= 100 else 1
    return f"{found.value:.{places}f} ({found.low:.{places}f} to {found.high:.{places}f})"
