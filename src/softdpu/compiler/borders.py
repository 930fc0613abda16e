"""Passes: float operations as the CPU runs them, and conversions between integer and float."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.compiler.graph import Graph, Op
from softdpu.compiler.limits import ADVICE
from softdpu.compiler.parameters import as_float


def insert_borders(graph: Graph) -> Graph:
    """Put fix2float before every float operation that reads integers and after every integer output.

    Integer constants that float operations read become float constants of the numbers that they stand for.
    """
    ops: list[Op] = []
    converted: dict[Op, Op] = {}
    for op in graph.ops:
        if not op.is_integer:
            op.inputs = {
                name: [_float(producer, op, converted, ops) for producer in producers]
                for name, producers in op.inputs.items()
            }
        ops.append(op)
    outputs = [_final(op, ops) if op.is_integer else op for op in graph.outputs]
    return Graph(graph.name, ops, outputs, graph.attrs).rewired({}).without_unused()


def spell_out_prelu(graph: Graph) -> Graph:
    """Write PReLU as relu(x) + slope * min(x, 0), which every version of AMD's library knows."""
    replaced: dict[Op, Op] = {}
    for op in graph.ops:
        if op.kind == "prelu":
            zero = Op(f"{op.name}_zero", "const", shape=(1,), data=np.zeros(1, np.float32))
            source, slope = op.input, op.inputs["weight"][0]
            parts = [("relu", "_positive", [source]), ("min", "_negative", [source, zero])]
            positive, negative = (Op(op.name + end, kind, {"input": of}, {}, op.shape) for kind, end, of in parts)
            scaled = Op(f"{op.name}_scaled", "mul", {"input": [negative, slope]}, {}, op.shape)
            total = Op(op.name, "add", {"input": [positive, scaled]}, dict(op.attrs), op.shape, op.tensor)
            for part in (zero, positive, negative, scaled, total):
                part.layer, part.reason = op.layer, op.reason or ADVICE["prelu"]
            replaced[op] = total
    return graph.rewired(replaced).without_unused() if replaced else graph


def _float(producer: Op, reader: Op, converted: dict[Op, Op], ops: list[Op]) -> Op:
    if not producer.is_integer:
        return producer
    if producer not in converted:
        if producer.is_constant:
            converted[producer] = as_float(producer)
        else:
            converted[producer] = _fix2float(producer, f"{producer.tensor}_{reader.name}", "")
        ops.append(converted[producer])
    return converted[producer]


def _final(producer: Op, ops: list[Op]) -> Op:
    op = _fix2float(producer, producer.name + "_", producer.tensor + "_")
    ops.append(op)
    return op


def _fix2float(producer: Op, name: str, tensor: str) -> Op:
    assert producer.fix is not None
    attrs: dict[str, Any] = {**producer.fix.attributes(), **producer.quant}
    return Op(name, "fix2float", {"input": [producer]}, attrs, producer.shape, tensor, layer=producer.layer)
