"""From the bytes of an .xmodel file to a Graph."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
from collections.abc import Iterator
from typing import Any

from xir.attributes import decode_all
from xir.data_type import DataType
from xir.errors import XirError
from xir.graph import Graph
from xir.messages import GraphMessage, load, parse
from xir.op import Op
from xir.subgraph import Subgraph
from xir.tensor import Tensor

_TYPE_CODES = frozenset(int(code) for code in DataType.Type)
# Vitis AI 1.1 wrote one number and no bit width. Its 8-bit tensors are the DPU's fixed-point ones.
_OLD_TYPES = ["xint8", "xuint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


def read_file(fname: str | os.PathLike[str]) -> Graph:
    """Read an .xmodel file.

    Raises:
        XirError: when there is no such file or it holds no graph; the text begins with the file's name.
    """
    try:
        with _collector_paused():
            return _graph(load(fname))
    except XirError as error:
        raise XirError(f"{os.fspath(fname)}: {error}") from None


def read_bytes(data: bytes) -> Graph:
    """Read a graph from the bytes of an .xmodel file.

    Raises:
        XirError: when they hold no graph.
    """
    with _collector_paused():
        return _graph(parse(data))


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from walking the growing graph again and again; that doubles the time to read it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _graph(message: Any) -> Graph:
    if not message.op_node:
        raise XirError("not an .xmodel: it holds no ops")
    graph = Graph(message.graph_name)
    graph._attrs = decode_all(message.graph_attr)
    _restore_ops(graph, message.op_node)
    _restore_tree(graph, message.subg_root)
    definitions = GraphMessage()
    definitions.op_defs.extend(message.op_defs)
    graph._stored_op_defs = definitions
    return graph


def _restore_ops(graph: Graph, nodes: Any) -> None:
    for node in nodes:
        name = node.op_name
        if not name or not node.op_type:
            raise XirError(f"op number {graph.get_op_num()} has no name or no type")
        if graph.get_op(name) is not None:
            raise XirError(f"two ops are named '{name}'")
        graph._restore_op(name, node.op_type, decode_all(node.op_attr), _tensor(name, node.output_tensor))
    in_order = True
    for node in nodes:
        op = _existing(graph, node.op_name, "the file")
        for arg in node.args:
            if arg.arg_name in op._inputs:
                raise XirError(f"op '{op.get_name()}' has the argument '{arg.arg_name}' twice")
            sources = [_existing(graph, source, f"op '{op.get_name()}'") for source in arg.arg_ops]
            in_order = in_order and all(source._id < op._id for source in sources)
            op._connect(arg.arg_name, sources)
    if not in_order:
        graph.toposort()  # raises when there is a cycle


def _existing(graph: Graph, name: str, user: str) -> Op:
    op = graph.get_op(name)
    if op is None:
        raise XirError(f"{user} refers to the op '{name[:200]}', which does not exist")
    return op


def _tensor(op_name: str, message: Any) -> Tensor:
    dims = [dim if dim < 2**31 else dim - 2**32 for dim in message.tensor_dim]
    code, bits = message.data_type, message.tensor_bit_width
    old = bits == 0 and 0 <= code < len(_OLD_TYPES)
    if any(dim < -1 for dim in dims) or bits < 0 or not (old or code in _TYPE_CODES):
        raise XirError(
            f"op '{op_name}': its output has an impossible shape {dims[:8]} or data type {code}, {bits} bits"
        )
    dtype = _data_type(code, bits)
    tensor = Tensor(message.tensor_name, dims, dtype, code if old else None)
    tensor._attrs = decode_all(message.tensor_attr)
    return tensor


@functools.lru_cache(maxsize=256)
def _data_type(code: int, bits: int) -> DataType:
    return DataType(code, bits) if bits else DataType(_OLD_TYPES[code])


def _restore_tree(graph: Graph, message: Any) -> None:
    root = graph.get_root_subgraph()
    if message.subgraph_name:
        root.set_name(message.subgraph_name)
    root._attrs = decode_all(message.subg_attr)
    if not message.subg_child:
        for op in graph._ops.values():
            root._add_op(op)
        return
    for child in message.subg_child:
        _restore_subgraph(graph, root, child)
    for op in graph._ops.values():
        if op._leaf is None:
            root._add_op(op)  # as AMD's reader does: an op that no child names becomes a child of its own


def _restore_subgraph(graph: Graph, parent: Subgraph, message: Any) -> None:
    name = message.subgraph_name
    if bool(message.op_name) == bool(message.subg_child):
        raise XirError(f"subgraph '{name}' must have either ops or children")
    ops = [_existing(graph, op_name, f"subgraph '{name}'") for op_name in message.op_name]
    for op in ops:
        if op._leaf is not None:
            raise XirError(f"op '{op.get_name()}' is in the subgraphs '{op._leaf.get_name()}' and '{name}'")
    if len(set(ops)) != len(ops):
        raise XirError(f"subgraph '{name}' has an op twice")
    subgraph = Subgraph(graph, parent, name, ops)
    subgraph._attrs = decode_all(message.subg_attr)
    parent._children[subgraph] = None
    for child in message.subg_child:
        _restore_subgraph(graph, subgraph, child)
