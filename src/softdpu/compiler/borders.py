"""Pass: conversions between integer and float tensors, and between the graph and its readers."""

from __future__ import annotations

from typing import Any

from softdpu.compiler.graph import Graph, Op
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
