"""Turn the compiler's graph into an xir graph."""

from __future__ import annotations

from typing import Any

import xir
from softdpu.compiler.graph import Graph, Op


def to_xir(graph: Graph) -> xir.Graph:
    """Return an xir graph with the operations, tensors and attributes of `graph`, and no subgraphs below the root."""
    result = xir.Graph(graph.name)
    result.set_attrs(graph.attrs)
    made: dict[Op, xir.Op] = {}
    for op in graph.ops:
        inputs = {name: [made[producer] for producer in producers] for name, producers in op.inputs.items()}
        made[op] = _make(result, op, inputs)
    return result


def _make(graph: xir.Graph, op: Op, inputs: dict[str, list[xir.Op]]) -> xir.Op:
    attrs: dict[str, Any] = dict(op.attrs)
    if op.data is not None and op.kind in ("const", "const-fix"):
        stored = b"" if "ddr_addr" in op.quant else op.data.tobytes()
        attrs |= {"shape": list(op.shape), "data_type": dtype_name(op), "data": stored}
    result = graph.create_op(op.name, op.kind, attrs, inputs)
    tensor = xir.Tensor.create(op.tensor, list(op.shape), xir.DataType(dtype_name(op).upper()))
    tensor.set_attrs(op.quant)
    result.replace_output_tensor(tensor)
    return result


def dtype_name(op: Op) -> str:
    """Return the data type of an operation's output as xir writes it."""
    return "XINT8" if op.is_integer else "float32"
