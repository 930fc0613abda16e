"""A full-integer .tflite, bit for bit the DPU's numbers: the fast runtime's own lowerings, and float ones between them.

Scales of tensors are powers of two. Those of weights are a hair larger (1 + 2**-23), by which LiteRT's kernels, which
round half to even, round half up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.source import Source, is_integer, set_batch
from softdpu.export.tflite import real  # noqa: F401 - importing it fills the registry
from softdpu.export.tflite.lowering import FLOATS, WholeLowering, last_values
from softdpu.export.tflite.table import Table, find_tables
from softdpu.runtime.litert.elementwise import store_table
from softdpu.runtime.litert.lowering import LOWERINGS, NotExactError
from softdpu.runtime.litert.model import Operator
from softdpu.runtime.program import Node, Program

INPUTS = ("int8", "uint8")


@dataclass(frozen=True)
class TfliteModel:
    """A finished .tflite.

    Attributes:
        content: the flatbuffer.
        program: what it computes, with its batch.
    """

    content: bytes
    program: Program


def build_tflite(source: Source, *, batch: int = 1, inputs: str = "int8") -> TfliteModel:
    """Return a network as a .tflite.

    Args:
        source: the network.
        batch: images per run.
        inputs: "int8" takes the DPU's numbers, "uint8" the same numbers plus 128 (zero point 128).

    Raises:
        SoftdpuError: an op that has no exact form in LiteRT, by name.
    """
    if inputs not in INPUTS:
        raise SoftdpuError(f"expected inputs of {' or '.join(INPUTS)}, got '{inputs}'")
    program = set_batch(source.program, batch)
    model = WholeLowering(program, source.provenance(), inputs == "uint8")
    tables = find_tables(program)
    for node in _drop_replaced(program, tables):
        try:
            _lower(model, node, tables.get(node.key))
        except NotExactError as reason:
            text = f"op '{node.key}' of type {node.kind} has no exact form in LiteRT: {reason}"
            raise SoftdpuError(text) from None
    return TfliteModel(model.finish(program), program)


def _drop_replaced(program: Program, tables: dict[str, Table]) -> list[Node]:
    """Return the ops that are left to lower when tables have taken the place of chains."""
    keys, found = {value.key for value in last_values(program)}, []
    for node in reversed(program.nodes):
        if node.key in keys:
            found.append(node)
            table = tables.get(node.key)
            keys.update([table.source.key] if table else [value.key for value in node.all_inputs()])
    return found[::-1]


def _lower(model: WholeLowering, node: Node, table: Table | None) -> None:
    """Add an op: a table where a chain of functions ends, an exact integer lowering, or a float one."""
    if table is not None:
        _table(model, node, table)
        return
    floats = [value for value in (node.output, *node.all_inputs()) if not is_integer(value)]
    if not floats and node.kind in LOWERINGS:
        LOWERINGS[node.kind](model, node)
        return
    if node.kind not in FLOATS:
        raise NotExactError("there is no lowering for it")
    FLOATS[node.kind](model, node)


def _table(model: WholeLowering, node: Node, table: Table) -> None:
    """Store a function of one int8 number, then move its results as the chain does."""
    first = table.first(node)
    store_table(model, first, table.source, table.numbers)
    if first.key == node.key:
        return
    index = model.float32(first.output.shape)
    model.builder.operator(Operator.DEQUANTIZE, [model.plain(first.output)], [index])
    model.floats[first.key] = index
    value = first.output
    for step in table.moves:
        moved = table.moved(step, value)
        FLOATS[step.kind](model, moved)
        value = moved.output
    output = model.int8(node.output)
    model.builder.operator(Operator.QUANTIZE, [model.floats[value.key]], [output])
    model.put(node, output, positive=bool(np.min(table.numbers) >= 0))
