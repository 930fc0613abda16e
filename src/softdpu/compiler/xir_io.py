"""Turn the compiler's graph into an xir graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xir
from softdpu.compiler.op_graph import Graph, Op
from xir import op_defs

Attributes = Mapping[Op, Mapping[str, Any]]


def to_xir(graph: Graph, of_ops: Attributes | None = None, of_tensors: Attributes | None = None) -> xir.Graph:
    """Return an xir graph with the operations, tensors and attributes of `graph`, and no subgraphs below the root.

    Args:
        graph: left as it is.
        of_ops: further attributes of operations.
        of_tensors: further attributes of their tensors; a constant whose tensor has an address holds no data itself.
    """
    result = xir.Graph(graph.name)
    result.set_attrs(graph.attrs)
    made: dict[Op, xir.Op] = {}
    for op in graph.ops:
        inputs = {name: [made[producer] for producer in producers] for name, producers in op.inputs.items()}
        attrs = {**op.attrs, **(of_ops or {}).get(op, {})}
        marks = {**op.quant, **(of_tensors or {}).get(op, {})}
        made[op] = _make(result, op, inputs, attrs, marks)
    return result


def _make(
    graph: xir.Graph, op: Op, inputs: dict[str, list[xir.Op]], attrs: dict[str, Any], marks: dict[str, Any]
) -> xir.Op:
    if op.data is not None and op.kind in ("const", "const-fix"):
        stored = b"" if "ddr_addr" in marks else op.data.tobytes()
        attrs |= {"shape": list(op.shape), "data_type": dtype_name(op), "data": stored}
    if op.kind not in op_defs.op_defs():  # a kind of the user's own: xir wants its output told by attributes
        attrs = {"shape": list(op.shape), "data_type": dtype_name(op), **attrs}
    result = graph.create_op(op.name, op.kind, attrs, inputs)
    tensor = xir.Tensor.create(op.tensor, list(op.shape), xir.DataType(dtype_name(op).upper()))
    tensor.set_attrs(marks)
    result.replace_output_tensor(tensor)
    return result


def dtype_name(op: Op) -> str:
    """Return the data type of an operation's output as xir writes it."""
    return "XINT8" if op.is_integer else "float32"
