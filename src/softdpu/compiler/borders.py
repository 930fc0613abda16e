"""Passes: float operations as the CPU runs them, and conversions between integer and float."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.compiler.constants import as_float
from softdpu.compiler.limits import ADVICE
from softdpu.compiler.names import MOVED, RESHAPED
from softdpu.compiler.op_graph import Graph, Op
from softdpu.compiler.rules.operations import explicit_pad


def insert_borders(graph: Graph) -> Graph:
    """Put fix2float before every float operation that reads integers and after every integer output.

    Integer constants that float operations read become float constants of the numbers that they stand for. A float
    output that other operations read as well gets an identity, so that every output of the model ends the graph.
    """
    graph = graph.copy()
    read = {producer for op in graph.ops for producer in op.all_inputs()}
    ops: list[Op] = []
    converted: dict[Op, Op] = {}
    for op in graph.ops:
        if not op.is_integer:
            op.inputs = {
                name: [_read_as_float(producer, op, converted, ops) for producer in producers]
                for name, producers in op.inputs.items()
            }
        ops.append(op)
    final: dict[Op, Op] = {}
    for op in graph.outputs:
        if op not in final:
            final[op] = _end_in_float(op, ops) if op.is_integer else _end_as_is(op, ops) if op in read else op
    outputs = [final[op] for op in graph.outputs]
    return Graph(graph.name, ops, outputs, graph.attrs).copy().drop_unused()


def spell_out_prelu(graph: Graph) -> Graph:
    """Write PReLU on the CPU as relu(x) + slope * min(x, 0), which every version of AMD's library knows."""
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
    return graph.rewire(replaced).drop_unused()


def spell_out_padded_average(graph: Graph) -> Graph:
    """Write average pooling with padding as window sums times n / 2**m, times a map of what the borders lack.

    The layer divides by the covered pixels only. Dividing first, as avgpool2d does, rounds numbers like 1 / 6 and then
    loses ties; the sums, their factor and the usual corrections (1.5, 2.25) are exact.
    """
    replaced: dict[Op, Op] = {}
    for op in graph.ops:
        pool = op.input if op.kind == "mul" else None
        if pool is None or pool.kind != "avgpool2d" or op.inputs["input"][1].data is None:
            continue
        pad = explicit_pad(pool)
        if any(pad) and not pool.attrs["count_include_pad"]:
            replaced[op] = _sum_and_divide(op, pool, pad)
    return graph.rewire(replaced).drop_unused()


def _sum_and_divide(op: Op, pool: Op, pad: list[int]) -> Op:
    (width, height), source = pool.attrs["kernel"], pool.input
    factor = op.inputs["input"][1].data
    assert factor is not None
    channels = source.shape[3]
    each = np.full((1, height, width, channels), float(factor[0]) / (height * width), np.float32)
    weights = Op(f"{pool.name}_window", "const", shape=each.shape, data=each)
    attrs = {"kernel": [width, height], "stride": pool.attrs["stride"], "pad_mode": "FLOOR", "pad": pad}
    sums = Op(f"{pool.name}_sums", "depthwise-conv2d", {"input": [source], "weights": [weights]}, attrs, pool.shape)
    lacking = (height * width / _count_covered(pool, pad)).astype(np.float32)
    borders = Op(f"{pool.name}_borders", "const", shape=lacking.shape, data=lacking)
    result = Op(op.name, "mul", {"input": [sums, borders]}, dict(op.attrs), op.shape, op.tensor)
    for part in (weights, sums, borders, result):
        part.layer, part.reason = op.layer, pool.reason or op.reason
    return result


def _count_covered(pool: Op, pad: list[int]) -> np.ndarray:
    """Return how many pixels of the image each window covers, [1, rows, columns, 1]."""
    counts = []
    for axis in (1, 0):  # rows, columns
        size, stride, kernel = pool.input.shape[2 - axis], pool.attrs["stride"][axis], pool.attrs["kernel"][axis]
        first = np.arange(pool.shape[2 - axis]) * stride - pad[2 * axis]
        counts.append(np.minimum(first + kernel, size) - np.maximum(first, 0))
    return np.outer(*counts).reshape(1, len(counts[0]), len(counts[1]), 1)


def _read_as_float(producer: Op, reader: Op, converted: dict[Op, Op], ops: list[Op]) -> Op:
    if not producer.is_integer:
        return producer
    if producer not in converted:
        if producer.is_constant:
            converted[producer] = as_float(producer)
        else:
            converted[producer] = _make_fix2float(producer, f"{producer.tensor}_{reader.name}", "")
        ops.append(converted[producer])
    return converted[producer]


def _end_in_float(producer: Op, ops: list[Op]) -> Op:
    name = producer.name + MOVED if producer.name.endswith(MOVED + RESHAPED) else producer.tensor
    op = _make_fix2float(producer, name + "_", producer.tensor + "_")
    ops.append(op)
    return op


def _end_as_is(producer: Op, ops: list[Op]) -> Op:
    op = Op(f"{producer.name}_", "identity", {"input": [producer]}, {}, producer.shape, f"{producer.tensor}_")
    op.layer, op.reason = producer.layer, producer.reason
    ops.append(op)
    return op


def _make_fix2float(producer: Op, name: str, tensor: str) -> Op:
    assert producer.fix is not None
    attrs: dict[str, Any] = {**producer.fix.attributes(), **producer.quant}
    return Op(name, "fix2float", {"input": [producer]}, attrs, producer.shape, tensor, layer=producer.layer)
