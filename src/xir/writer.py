"""From a Graph to the bytes of an .xmodel file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any

from xir import op_defs
from xir.attributes import KINDS, Attr, encode, encode_all
from xir.data_type import DataType
from xir.errors import XirError
from xir.graph import Graph
from xir.messages import GraphMessage
from xir.op import Op
from xir.subgraph import Subgraph

_DEEPEST = 90  # protobuf readers give up at 100 nested messages


def write_file(graph: Graph, fname: str | os.PathLike[str]) -> None:
    """Write an .xmodel file, whole or not at all.

    Raises:
        XirError: when the graph cannot be written or the file cannot be made.
    """
    data = write_bytes(graph)
    path = os.fspath(fname)
    part = ""
    try:
        handle, part = tempfile.mkstemp(prefix=".part-", suffix=".xmodel", dir=os.path.dirname(path) or ".")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except OSError as error:
        if part:
            with contextlib.suppress(OSError):
                os.unlink(part)
        raise XirError(f"{path}: cannot be written: {error.strerror}") from None


def write_bytes(graph: Graph) -> bytes:
    """Return the bytes of an .xmodel file; equal graphs give equal bytes.

    Raises:
        XirError: when the graph has a cycle, subgraphs nested too deep, or is too large for protobuf.
    """
    message = GraphMessage(graph_name=graph.get_name())
    for op in graph.toposort():
        _write_op(op, message.op_node.add())
    _write_subgraph(graph.get_root_subgraph(), message.subg_root, 0)
    encode_all(graph._attrs, message.graph_attr)
    if graph._stored_op_defs is not None:
        message.op_defs.extend(graph._stored_op_defs.op_defs)
    else:
        for op_type in sorted({op.get_type() for op in graph._ops.values()}):
            _write_definition(op_defs.op_def(op_type), message.op_defs.add())
    try:
        return bytes(message.SerializeToString(deterministic=True))
    except Exception as error:  # protobuf raises its own kinds beyond 2 GiB
        raise XirError(f"graph '{graph.get_name()}' cannot be written: {error}") from None


def _write_op(op: Op, node: Any) -> None:
    node.op_name = op.get_name()
    node.op_type = op.get_type()
    encode_all(op._attrs, node.op_attr)
    for name, sources in op._inputs.items():
        arg = node.args.add(arg_name=name)
        arg.arg_ops.extend([source.get_name() for source in sources])
    tensor = op._output
    node.output_tensor.tensor_name = tensor._name
    node.output_tensor.tensor_dim.extend([dim & 0xFFFFFFFF for dim in tensor._dims])
    if tensor._old_code is None:
        node.output_tensor.data_type = int(tensor._dtype.type)
        node.output_tensor.tensor_bit_width = tensor._dtype.bit_width
    else:
        node.output_tensor.data_type = tensor._old_code
    encode_all(tensor._attrs, node.output_tensor.tensor_attr)


def _write_subgraph(subgraph: Subgraph, message: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise XirError(f"subgraph '{subgraph.get_name()}' is nested deeper than the {_DEEPEST} levels that files allow")
    message.subgraph_name = subgraph.get_name()
    encode_all(subgraph._attrs, message.subg_attr)
    if subgraph.is_leaf:
        message.op_name.extend([op.get_name() for op in subgraph.toposort()])
    for child in subgraph.toposort_child_subgraph():
        _write_subgraph(child, message.subg_child.add(), depth + 1)


def _write_definition(definition: op_defs.OpDef, message: Any) -> None:
    message.name = definition.type
    numbers = DataType.XINT if definition.type.endswith("-fix") else DataType.FLOAT
    for name, occurrence in definition.args.items():
        message.input_args.add(name=name, occur_type=occurrence, data_type=int(numbers))
    for name, kind in definition.kinds.items():
        attr = message.attrs.add(name=name, occur_type=op_defs.REQUIRED)
        if name in definition.defaults:
            attr.occur_type = op_defs.OPTIONAL
        encode(definition.defaults.get(name) or _zero(kind), attr.default_value)


def _zero(kind: str) -> Attr:
    """Return the value that a required attribute's definition carries: readers want one even there."""
    assert kind in KINDS
    if kind.endswith("_vec"):
        return Attr(kind, [])
    return Attr(kind, {"string": "", "bytes": b"", "bool": False}.get(kind, 0))
