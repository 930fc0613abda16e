"""What the compiler made of a network for one target: where layers run, their work, their memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from softdpu.output.files import expecting
from softdpu.output.pages import heading, note, table, write_page
from softdpu.output.pictures import choose_bar_style, picture, printable
from softdpu.report.stages import read_json
from softdpu.xmodel.show import describe

_BORDERS = ("upload", "download", "fix2float", "float2fix")  # they move numbers, and compute nothing
LABELLED = 60  # operations; of more, only some are named


class Operation(NamedTuple):
    """One operation of the compiled graph; sizes in bytes of int8.

    Attributes:
        name, kind, device: what and where.
        work: operations (a multiplication and an addition count 2).
        weights: of its constants.
        output: of its result, the feature map.
        shape: of its result.
    """

    name: str
    kind: str
    device: str
    work: int
    weights: int
    output: int
    shape: tuple[int, ...]


def read_operations(xmodel: Path) -> list[Operation]:
    """Return the operations of the compiled model at `xmodel`, see `list_operations`.

    Raises:
        SoftdpuError: if it cannot be read.
    """
    return list_operations(describe(xmodel))


def list_operations(found: dict[str, Any]) -> list[Operation]:
    """Return the operations that compute something, in order, of what xmodel.show.describe returned."""
    constants = {
        op["name"]: math.prod(op["shape"])
        for part in found["subgraphs"]
        for op in part["ops"]
        if op["type"].startswith("const")
    }
    result = []
    for part in found["subgraphs"]:
        for op in part["ops"]:
            sources = [name for names in op["inputs"].values() for name in names]
            if op["name"] in constants or not sources or op["type"] in _BORDERS:
                continue
            weights = sum(constants.get(name, 0) for name in sources)
            shape, work = tuple(op["shape"]), op["workload"] or 0
            name = _shorten(op["name"])
            result.append(Operation(name, op["type"], part["device"], work, weights, math.prod(shape), shape))
    return result


def draw_operations(path: Path, found: Sequence[Operation], title: str) -> None:
    """Draw work, weights and feature map of every operation, one below the other."""
    panels = (
        ("operations, millions", [op.work / 1e6 for op in found]),
        ("weights, KiB", [op.weights / 1024 for op in found]),
        ("feature map, KiB", [op.output / 1024 for op in found]),
    )
    width = min(16.0, max(7.0, 0.24 * len(found) + 1.5))
    with picture(path, width, 7) as figure:
        all_axes = figure.subplots(len(panels), 1, sharex=True)
        for axes, (label, values) in zip(all_axes, panels, strict=True):
            for place, (op, value) in enumerate(zip(found, values, strict=True)):
                axes.bar(place, value, 0.8, **choose_bar_style(0 if op.device == "DPU" else 1))
            axes.set_ylabel(label)
            axes.grid(axis="y")
        step = -(-len(found) // LABELLED)
        names = [op.name if place % step == 0 else "" for place, op in enumerate(found)]
        all_axes[-1].set_xticks(range(len(found)), names, rotation=90, fontsize=7)
        all_axes[-1].set_xlabel("operation, in the order of the network")
        for number, device in enumerate(("DPU", "CPU")):
            all_axes[0].bar(0, 0, label=f"on the {device}", **choose_bar_style(number))
        figure.legend(loc="outside lower right", ncols=2)
        figure.suptitle(title, x=0.01, ha="left")


def write_summary(path: Path, target: str, xmodel: Path, summary: Path | None, inspected: Path | None) -> None:
    """Write what was compiled for a target: numbers of the whole, layers by device, operations one by one.

    Args:
        path: of the page.
        target: its name.
        xmodel: the compiled model, of whichever compiler.
        summary: our compiler's summary.json; None with AMD's.
        inspected: the inspector's JSON; None where there is none.

    Raises:
        SoftdpuError: if a file cannot be read.
    """
    found = describe(xmodel)
    ops = list_operations(found)
    with expecting(summary or xmodel, "the compiler's summary"):
        blocks = [table([], _list_facts(found, ops, read_json(summary) if summary else {}))]
        if summary is not None:
            blocks += [heading("Layers of the model by device"), _describe_layers(read_json(summary))]
    if inspected is not None:
        with expecting(inspected, "what `softdpu inspect` writes"):
            blocks += [heading("What the inspector says of the float model"), _describe_advice(read_json(inspected))]
    rows = [
        (
            op.name,
            op.kind,
            op.device,
            f"{op.work:,}",
            f"{op.weights:,}",
            " x ".join(map(str, op.shape)),
            f"{op.output:,}",
        )
        for op in ops
    ]
    columns = ["operation", "kind", "device", "operations", "weights, bytes", "feature map", "bytes"]
    blocks += [heading("Operations of the compiled model"), table(columns, rows, numbers=[3, 4, 5, 6])]
    write_page(path, f"Compiled for {target}", blocks)


def _list_facts(found: dict[str, Any], ops: Sequence[Operation], summary: dict[str, Any]) -> list[tuple[str, str]]:
    parts = found["subgraphs"]
    dpu: dict[str, Any] = next((part for part in parts if part["device"] == "DPU"), {})
    grid = found["workload_on_arch"] or 0
    facts = [
        ("DPU", str(summary.get("dpu") or dpu.get("dpu", "unknown"))),
        ("fingerprint", str(dpu.get("fingerprint", "none"))),
        ("Vitis AI", str(summary.get("vitis_ai", "unknown"))),
        ("subgraphs", ", ".join(part["device"] for part in parts)),
        ("operations per image", f"{found['workload'] or 0:,}"),
        ("the same on the DPU's grid", f"{grid:,}"),
    ]
    if grid:
        facts.append(("share of the grid that is used", f"{100 * (found['workload'] or 0) / grid:.1f} %"))
    facts += [
        ("parameters, bytes", f"{sum(op.weights for op in ops):,}"),
        ("feature maps in all, bytes", f"{sum(op.output for op in ops):,}"),
        ("largest feature map, bytes", f"{max((op.output for op in ops), default=0):,}"),
    ]
    for side in ("inputs", "outputs"):
        facts += [(f"{side[:-1]} of the DPU", _describe_tensor(tensor)) for tensor in dpu.get(side, [])]
    return [*facts, ("file, bytes", f"{found['bytes']:,}")]


def _describe_tensor(tensor: dict[str, Any]) -> str:
    return f"{' x '.join(map(str, tensor['shape']))}, position {tensor['position']}"


def _describe_layers(summary: dict[str, Any]) -> str:
    counts: dict[tuple[str, str], int] = {}
    for layer in summary["layers"]:
        key = (layer["device"], layer["kind"])
        counts[key] = counts.get(key, 0) + 1
    return table(["device", "kind of layer", "layers"], [(*key, count) for key, count in sorted(counts.items())], [2])


def _describe_advice(inspected: dict[str, Any]) -> str:
    rows = [
        (layer["layer"], layer["kind"], layer.get("reason", ""))
        for layer in inspected["layers"]
        if layer.get("device") == "CPU"
    ]
    if not rows:
        return note("Every layer runs on the DPU.")
    return table(["layer on the CPU", "kind", "why, and what to change"], rows)


def _shorten(name: str) -> str:
    """Return an operation's name without what the quantizer and the compiler put around the layer's."""
    return printable(name.split("(")[0].removeprefix("quant_").removesuffix("_fix"), 28)
