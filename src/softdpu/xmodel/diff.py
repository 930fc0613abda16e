"""How two .xmodel files differ: in their graph, positions, weights and subgraphs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

import xir
from softdpu.xmodel.load import list_devices, load, read_position
from softdpu.xmodel.weights import list_constants

_POSITION_NAMES = frozenset({"fix_point", "bit_width", "if_signed", "round_mode"})


def compare(path_a: str | os.PathLike[str], path_b: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Return the differences between two .xmodel files, one line each, by section.

    Ops are matched by name, then by their output tensor's name, constants also by the op that takes them: compilers of
    different versions name them differently.

    Raises:
        SoftdpuError: one of them is no .xmodel, or a constant in it is broken.
    """
    a, b = load(path_a), load(path_b)
    pairs = _match(a, b)
    return {
        "graph": [
            *_compare_presence(a, b, pairs),
            *_compare_attributes("graph", a.get_attrs(), b.get_attrs()),
            *_compare_ops(pairs),
        ],
        "positions": list(_compare_positions(pairs)),
        "weights": list(_compare_weights(a, b, pairs)),
        "subgraphs": list(_compare_subgraphs(a, b, pairs)),
    }


def _match(a: xir.Graph, b: xir.Graph) -> dict[xir.Op, xir.Op]:
    """Return for ops of the first graph those of the second that stand for them."""
    pairs = {op: other for op in a.toposort() if (other := b.get_op(op.get_name())) is not None}
    taken = set(pairs.values())
    tensors = {(op.get_type(), op.get_output_tensor().name): op for op in b.toposort() if op not in taken}
    for op in a.toposort():
        if op not in pairs:
            other = tensors.pop((op.get_type(), op.get_output_tensor().name), None)
            if other is not None:
                pairs[op] = other
    taken = set(pairs.values())
    for consumer, other_consumer in list(pairs.items()):
        for name, sources in consumer.get_input_ops().items():
            for source, other in zip(sources, other_consumer.get_input_ops_by_name(name), strict=False):
                constant = source.get_type().startswith("const") and source.get_type() == other.get_type()
                if constant and source not in pairs and other not in taken:
                    pairs[source] = other
                    taken.add(other)
    return pairs


def _compare_presence(a: xir.Graph, b: xir.Graph, pairs: dict[xir.Op, xir.Op]) -> Iterator[str]:
    for graph, matched, side in ((a, set(pairs), "first"), (b, set(pairs.values()), "second")):
        for op in graph.toposort():
            if op not in matched:
                yield f"op '{op.get_name()}' ({op.get_type()}) is only in the {side}"


def _compare_ops(pairs: dict[xir.Op, xir.Op]) -> Iterator[str]:
    for a, b in pairs.items():
        label = f"op '{a.get_name()}'"
        for what, x, y in (
            ("name", a.get_name(), b.get_name()),
            ("type", a.get_type(), b.get_type()),
            ("inputs", _name_inputs(a, pairs), _name_inputs(b)),
            ("output's name", a.get_output_tensor().name, b.get_output_tensor().name),
            ("output's shape", a.get_output_tensor().dims, b.get_output_tensor().dims),
            ("output's data type", a.get_output_tensor().dtype, b.get_output_tensor().dtype),
        ):
            if x != y:
                yield f"{label}: {what} {_shorten(x)} -> {_shorten(y)}"
        skipped = {"data", *_POSITION_NAMES}
        yield from _compare_attributes(label, a.get_attrs(), b.get_attrs(), skipped)
        tensors = a.get_output_tensor().get_attrs(), b.get_output_tensor().get_attrs()
        yield from _compare_attributes(f"{label}, output", *tensors, skipped)


def _name_inputs(op: xir.Op, pairs: dict[xir.Op, xir.Op] | None = None) -> dict[str, list[str]]:
    """Return the names of the inputs by argument; with `pairs`, as the second graph calls them."""
    named = pairs or {}
    inputs = op.get_input_ops().items()
    return {name: [named.get(source, source).get_name() for source in ops] for name, ops in inputs if ops}


def _compare_attributes(
    label: str, a: dict[str, Any], b: dict[str, Any], skipped: set[str] | None = None
) -> Iterator[str]:
    for name in sorted({*a, *b} - (skipped or set())):
        if name not in a or name not in b:
            side, value = ("first", a[name]) if name in a else ("second", b[name])
            yield f"{label}: {name} = {_shorten(value, name)} is only in the {side}"
        elif a[name] != b[name] or type(a[name]) is not type(b[name]):
            first, second = _drop_equal(a[name], b[name])
            x, y = _shorten(first, name), _shorten(second, name)
            yield f"{label}: {name} {x} -> {'other ' if x == y else ''}{y}"


def _drop_equal(a: Any, b: Any) -> tuple[Any, Any]:
    """Return two values, of two dicts only what differs."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return a, b
    missing = object()
    different = {key for key in {*a, *b} if a.get(key, missing) != b.get(key, missing)}
    return {key: a[key] for key in a if key in different}, {key: b[key] for key in b if key in different}


def _compare_positions(pairs: dict[xir.Op, xir.Op]) -> Iterator[str]:
    for a, b in pairs.items():
        if read_position(a) != read_position(b):
            yield f"op '{a.get_name()}': position {read_position(a)} -> {read_position(b)}"
        for name in sorted(_POSITION_NAMES - {"fix_point"}):
            x, y = (op.get_output_tensor() for op in (a, b))
            values = [t.get_attr(name) if t.has_attr(name) else None for t in (x, y)]
            if values[0] != values[1]:
                yield f"op '{a.get_name()}': {name} {values[0]} -> {values[1]}"


def _compare_weights(a: xir.Graph, b: xir.Graph, pairs: dict[xir.Op, xir.Op]) -> Iterator[str]:
    (found_a, hidden_a), (found_b, hidden_b) = list_constants(a), list_constants(b)
    second = {constant.name: constant.data for constant in found_b}
    names = {op.get_name(): other.get_name() for op, other in pairs.items()}
    for constant in found_a:
        other = second.get(names.get(constant.name, ""))
        if other is not None:
            yield from _compare_numbers(constant.name, constant.data, other)
    for side, hidden in (("first", hidden_a), ("second", hidden_b)):
        if hidden:
            yield f"{len(hidden)} constants of the {side} are in an unknown layout of that DPU and were not compared"


def _compare_numbers(name: str, x: np.ndarray, y: np.ndarray) -> Iterator[str]:
    if x.shape != y.shape or x.dtype != y.dtype:
        yield f"'{name}': {x.dtype} {list(x.shape)} -> {y.dtype} {list(y.shape)}"
    elif x.tobytes() != y.tobytes():
        different = np.count_nonzero(x != y)
        largest = np.abs(x.astype(np.float64) - y.astype(np.float64)).max()
        yield f"'{name}': {different} of {x.size} numbers differ, by up to {largest:g}"


def _compare_subgraphs(a: xir.Graph, b: xir.Graph, pairs: dict[xir.Op, xir.Op]) -> Iterator[str]:
    parts_a, parts_b = list_devices(a), list_devices(b)
    kinds = [[device or "not compiled" for device, _ in parts] for parts in (parts_a, parts_b)]
    if kinds[0] != kinds[1]:
        yield f"parts in order: {', '.join(kinds[0])} -> {', '.join(kinds[1])}"
    yield from _compare_attributes("root", a.get_root_subgraph().get_attrs(), b.get_root_subgraph().get_attrs())
    by_name = {subgraph.get_name(): subgraph for _, subgraph in parts_b}
    for _, subgraph in parts_a:
        other = by_name.pop(subgraph.get_name(), None)
        if other is None:
            yield f"'{subgraph.get_name()}' is only in the first"
        else:
            yield from _describe_subgraph(subgraph, other, pairs)
    for name in by_name:
        yield f"'{name}' is only in the second"


def _describe_subgraph(a: xir.Subgraph, b: xir.Subgraph, pairs: dict[xir.Op, xir.Op]) -> Iterator[str]:
    label = f"'{a.get_name()}'"
    names = {pairs.get(op, op).get_name() for op in a.get_ops()}, {op.get_name() for op in b.get_ops()}
    for side, only in (("first", names[0] - names[1]), ("second", names[1] - names[0])):
        if only:
            yield f"{label}: {', '.join(sorted(only))} only in the {side}"
    if a.get_children_num() != b.get_children_num():
        yield f"{label}: {a.get_children_num()} -> {b.get_children_num()} super-layers"
    skipped = {"reg_id_to_parameter_value", "children_topological_sort"}
    yield from _compare_attributes(label, a.get_attrs(), b.get_attrs(), skipped)


def _shorten(value: Any, name: str = "") -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    shown = hex(value) if name == "dpu_fingerprint" and isinstance(value, int) else repr(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def show_text(path_a: str, path_b: str, found: dict[str, list[str]], limit: int) -> Iterator[str]:
    """Yield the lines that tell people what `compare` found, at most `limit` a section (0: all)."""
    if not any(found.values()):
        yield f"{path_a} and {path_b} are equal in graph, positions, weights and subgraphs"
        return
    for section, lines in found.items():
        plural = "" if len(lines) == 1 else "s"
        yield f"{section}: {len(lines)} difference{plural}" if lines else f"{section}: equal"
        yield from (f"    {line}" for line in (lines[:limit] if limit else lines))
        if limit and len(lines) > limit:
            yield f"    ... and {len(lines) - limit} more (--limit 0 shows all)"
