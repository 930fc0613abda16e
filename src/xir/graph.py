"""Graphs: ops, the tree of subgraphs over them, and attributes; read from and written to .xmodel files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xir import formats, op_defs
from xir.attributes import Attr, AttributeHolder
from xir.errors import XirError
from xir.op import Op
from xir.order import topological
from xir.subgraph import Subgraph
from xir.tensor import Tensor

if TYPE_CHECKING:
    import os

    import numpy as np

    PathLike = str | os.PathLike[str]

_ARRAY_TYPES = {"i": "int", "u": "uint", "f": "float"}


class Graph(AttributeHolder):
    """A graph of ops with a tree of subgraphs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._ops: dict[str, Op] = {}
        self._alive: set[int] = set()
        self._op_count = 0
        self._subgraph_count = 0
        self._root = Subgraph(self, None)
        self._stored_op_defs: Any = None  # the definitions that a file brought along, written back unchanged

    # --- files ---

    @staticmethod
    def deserialize(fname: PathLike) -> Graph:
        """Read an .xmodel file. Shapes and attributes are taken as they are stored.

        Raises:
            XirError: when there is no such file or it holds no graph; the text names the file.
        """
        return formats.load(formats.READ_FILE)(fname)

    @staticmethod
    def deserialize_from_string(data: bytes) -> Graph:
        """Read a graph from the bytes of an .xmodel file.

        Raises:
            XirError: when they hold no graph.
        """
        return formats.load(formats.READ_BYTES)(data)

    def serialize(self, fname: PathLike) -> None:
        """Write an .xmodel file, whole or not at all; equal graphs give equal bytes.

        Raises:
            XirError: when the graph has a cycle or the file cannot be written.
        """
        formats.load(formats.WRITE_FILE)(self, fname)

    def serialize_to_string(self) -> bytes:
        """Return the bytes that `serialize` writes."""
        return formats.load(formats.WRITE_BYTES)(self)

    def save_as_dot(self, fname: PathLike) -> None:
        """Write a drawing in Graphviz's dot language."""
        self._root.save_as_dot(str(fname))

    def save_as_image(self, fname: PathLike, format: str) -> None:
        """Draw the graph with Graphviz's `dot` program in a format such as "svg" or "png".

        Raises:
            XirError: when there is no `dot` program or it fails.
        """
        formats.load(formats.SAVE_IMAGE)(self._root, str(fname), format)

    # --- ops ---

    def get_name(self) -> str:
        """Return the name."""
        return self._name

    def create_op(
        self,
        name: str,
        kind: str,
        attrs: dict[str, Any] | None = None,
        input_ops: dict[str, list[Op]] | None = None,
        subgraph: Subgraph | None = None,
    ) -> Op:
        """Add an op and return it, with default attributes set and its output's shape inferred.

        Args:
            name: unique in the graph; the output tensor gets the same name.
            kind: the op's type, such as "conv2d-fix"; a type that Vitis AI does not know needs the attributes
                "shape" and "data_type" of its output and takes its inputs as argument "input".
            attrs: by name; `Op.set_attr` tells how values become typed.
            input_ops: lists of ops by argument name, such as {"input": [a], "weights": [w]}.
            subgraph: the leaf to add to; the root by default. In a branch the op becomes a child of its own.

        Raises:
            XirError: when the op does not agree with its definition; the text names op, argument or attribute.
        """
        if not isinstance(name, str) or name in self._ops:
            raise XirError(f"graph '{self._name}' has an op named '{name}' already: names must be unique strings")
        op = Op(self, self._op_count, name, kind)
        op._output._producer = op
        self._alive.add(op._id)
        try:
            op.set_attrs(attrs or {})
            for argument in _in_definition_order(kind, input_ops or {}):
                op._connect(argument, (input_ops or {})[argument])
            op._check_definition()
            op.infer_shape()
            if op_defs.is_new(kind):
                op._attrs.setdefault("shape", Attr("int32_vec", op._output.dims))
                op._attrs.setdefault("data_type", Attr("string", op._output.dtype.upper()))
        except BaseException:
            self._alive.discard(op._id)
            op._disconnect()
            raise
        self._op_count += 1
        self._ops[name] = op
        (subgraph or self._root)._add_op(op)
        return op

    def create_const_op(self, name: str, data: np.ndarray) -> Op:
        """Add a "const" op that holds a numpy array of integers or floats, and return it."""
        kind = _ARRAY_TYPES.get(data.dtype.kind)
        if kind is None:
            raise XirError(f"op '{name}' (const): data must be an array of integers or floats, got {data.dtype}")
        attrs = {
            "shape": list(data.shape),
            "data_type": f"{kind}{8 * data.dtype.itemsize}",
            "data": data.astype(data.dtype.newbyteorder("<")).tobytes(),
        }
        return self.create_op(name, "const", attrs)

    def remove_op(self, op: Op) -> None:
        """Remove an op.

        Raises:
            XirError: when another op takes it as an input, or it is not of this graph.
        """
        if self._ops.get(op._name) is not op:
            raise XirError(f"op '{op._name}' is not in graph '{self._name}'")
        if op._fanout:
            raise XirError(f"op '{op._name}' cannot be removed: it is an input of '{next(iter(op._fanout))._name}'")
        op._disconnect()
        del self._ops[op._name]
        self._alive.discard(op._id)
        if op._leaf is not None:
            op._leaf._remove_op(op)

    def get_op(self, name: str) -> Op | None:
        """Return the op of this name; None when there is none."""
        return self._ops.get(name)

    def get_ops(self) -> set[Op]:
        """Return all ops."""
        return set(self._ops.values())

    def get_op_num(self) -> int:
        """Return the number of ops."""
        return len(self._ops)

    def get_head_ops(self) -> set[Op]:
        """Return the ops without inputs."""
        return {op for op in self._ops.values() if op.get_input_num() == 0}

    def get_tail_ops(self) -> set[Op]:
        """Return the ops that no op takes as an input."""
        return {op for op in self._ops.values() if not op._fanout}

    def toposort(self) -> list[Op]:
        """Return all ops, every producer before its consumers; otherwise in the order of their creation.

        Raises:
            XirError: when there is a cycle.
        """
        return topological(
            self._ops.values(),
            lambda op: [source for ops in op._inputs.values() for source in ops],
            lambda op: f"graph '{self._name}': the ops around '{op._name}' form a cycle",
        )

    def infer_shape(self) -> None:
        """Infer the shapes of all ops' outputs again.

        Raises:
            XirError: when the inputs of an op do not fit it.
        """
        for op in self.toposort():
            op.infer_shape()

    # --- tensors ---

    def get_tensors(self) -> set[Tensor]:
        """Return the output tensors of all ops."""
        return {op._output for op in self._ops.values()}

    def get_tensor(self, name: str) -> Tensor | None:
        """Return the tensor of this name; None when there is none."""
        return next((op._output for op in self._ops.values() if op._output._name == name), None)

    def get_tensor_producer(self, tensor: Tensor) -> Op | None:
        """Return the op whose output is `tensor`; None when there is none."""
        return self._root.get_tensor_producer(tensor)

    # --- subgraphs ---

    def get_root_subgraph(self) -> Subgraph:
        """Return the root of the tree of subgraphs."""
        return self._root

    def get_leaf_subgraph(self, op: Op) -> Subgraph:
        """Return the leaf that holds `op`.

        Raises:
            XirError: when the op is not of this graph.
        """
        if self._ops.get(op._name) is not op or op._leaf is None:
            raise XirError(f"op '{op._name}' is not in graph '{self._name}'")
        return op._leaf

    def _next_subgraph(self) -> int:
        self._subgraph_count += 1
        return self._subgraph_count

    def _restore_op(self, name: str, kind: str, attrs: dict[str, Attr], output: Tensor) -> Op:
        """Add an op as a file has it: nothing is checked against its definition and nothing inferred."""
        op = Op(self, self._op_count, name, kind)
        op._attrs = attrs
        op.replace_output_tensor(output)
        self._op_count += 1
        self._alive.add(op._id)
        self._ops[name] = op
        return op

    def _label(self) -> str:
        return f"graph '{self._name}'"

    def __repr__(self) -> str:
        return f"<xir.Graph named '{self._name}'>"

    def __str__(self) -> str:
        return f"{{name: '{self._name}', op_num: {len(self._ops)}, attrs: {self.get_attrs()}}}"


def _in_definition_order(kind: str, input_ops: dict[str, list[Op]]) -> list[str]:
    known = [name for name in op_defs.op_def(kind).args if name in input_ops]
    return known + [name for name in input_ops if name not in known]
