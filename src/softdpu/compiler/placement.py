"""Where each layer of a Keras model runs, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from softdpu.compiler.keras_model import KerasModel
from softdpu.compiler.op_graph import Graph, Op

_MOVES = ("reshape-fix", "reshape", "flatten", "pad-fix")  # beside what does a layer's work
_BORDERS = ("upload", "download", "fix2float", "float2fix")


@dataclass(frozen=True)
class Place:
    """Where one layer runs.

    Attributes:
        layer: its name in the model.
        kind: its class, such as Conv2D.
        device: USER for an input, DPU, CPU, or "" where nothing is left to do (Dropout).
        operation: what it became, such as conv2d-fix; for a layer that was absorbed, "in <layer>".
        reason: for the CPU, why it is not on the DPU and what to change.
    """

    layer: str
    kind: str
    device: str
    operation: str
    reason: str

    def as_dict(self) -> dict[str, str]:
        """Return the fields that hold something."""
        return {key: value for key, value in vars(self).items() if value}


def list_places(model: KerasModel, front: Graph, compiled: Graph) -> list[Place]:
    """Return where each layer of `model` runs, in the model's order.

    Args:
        model: whose layers are asked about.
        front: the front end's graph of it.
        compiled: the graph after partitioning.
    """
    own = _group_by_layer(op for op in compiled.ops if op.kind not in _BORDERS)
    before = _group_by_layer(front.ops)
    neighbours = _find_neighbours(front)
    return [_place(layer.name, layer.kind, own, before, neighbours) for layer in model.layers]


def _group_by_layer(ops: Iterable[Op]) -> dict[str, list[Op]]:
    found: dict[str, list[Op]] = {}
    for op in ops:
        if not op.is_constant:
            found.setdefault(op.layer, []).append(op)
    return found


def _find_neighbours(front: Graph) -> dict[str, tuple[list[str], list[str]]]:
    """Return for each layer the layers that it reads and those that read it."""
    near: dict[str, tuple[list[str], list[str]]] = {}
    for op in front.ops:
        for producer in op.all_inputs():
            if producer.layer != op.layer:
                near.setdefault(op.layer, ([], []))[0].append(producer.layer)
                near.setdefault(producer.layer, ([], []))[1].append(op.layer)
    return near


def _place(
    name: str,
    kind: str,
    own: dict[str, list[Op]],
    before: dict[str, list[Op]],
    neighbours: dict[str, tuple[list[str], list[str]]],
) -> Place:
    if name in own:
        work = [op for op in own[name] if op.kind not in _MOVES] or own[name]
        on_cpu = [op for op in work if op.device == "CPU"]
        shown = on_cpu or work
        reason = next((op.reason for op in on_cpu if op.reason), "")
        if shown[0].device == "CPU" and not reason:
            reason = "stands between operations that run on the CPU"
        return Place(name, kind, shown[0].device, shown[0].kind, reason)
    if name not in before:
        return Place(name, kind, "", "nothing to do", "")
    # An activation went into the layer before it, padding and reshapes into the one behind it.
    moves = before[name][0].kind in ("pad", "flatten", "reshape")
    for direction in (1, 0) if moves else (0, 1):
        holder = _find_nearest(name, direction, own, neighbours)
        if holder:
            place = _place(holder, kind, own, before, neighbours)
            into = f"in {holder}" if place.device != "USER" else "in the input"
            return Place(name, kind, place.device, into, place.reason)
    return Place(name, kind, "USER", "in the input", "")


def _find_nearest(
    name: str, direction: int, own: dict[str, list[Op]], neighbours: dict[str, tuple[list[str], list[str]]]
) -> str:
    """Follow the first neighbours in one direction to a layer that has an operation."""
    seen = {name}
    while True:
        near = [other for other in neighbours.get(name, ([], []))[direction] if other not in seen]
        if not near:
            return ""
        name = near[0]
        seen.add(name)
        if name in own:
            return name
