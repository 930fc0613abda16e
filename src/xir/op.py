"""Ops: the nodes of a graph."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from xir import op_defs, shapes
from xir.attributes import Attr, AttributeHolder
from xir.data_type import DataType
from xir.errors import XirError
from xir.tensor import Tensor

if TYPE_CHECKING:
    from xir.graph import Graph
    from xir.subgraph import Subgraph


class Op(AttributeHolder):
    """A node of a graph: a name, a type, attributes, input ops by argument name, and one output tensor."""

    __slots__ = ("_fanout", "_graph", "_id", "_inputs", "_leaf", "_name", "_output", "_type")

    def __init__(self, graph: Graph, number: int, name: str, type: str) -> None:
        super().__init__()
        self._graph = graph
        self._id = number
        self._name = name
        self._type = type
        self._inputs: dict[str, list[Op]] = {}
        self._fanout: dict[Op, int] = {}  # how many inputs of each consumer this op feeds, in order of connection
        self._leaf: Subgraph | None = None
        self._output = Tensor(name, [1], DataType())

    # --- identity ---

    def get_name(self) -> str:
        """Return the name, unique in the graph."""
        return self._name

    def get_type(self) -> str:
        """Return the type, such as "conv2d-fix"."""
        return self._type

    def get_graph(self) -> Graph:
        """Return the graph that the op belongs to."""
        return self._graph

    # --- inputs ---

    def get_input_num(self, name: str | None = None) -> int:
        """Return the number of input ops, of one argument if `name` is given."""
        if name is None:
            return sum(len(ops) for ops in self._inputs.values())
        return len(self._inputs.get(name, ()))

    def get_input_ops(self) -> dict[str, list[Op]]:
        """Return the input ops by argument name, sorted by it."""
        return {name: list(self._inputs[name]) for name in sorted(self._inputs)}

    def get_input_ops_by_name(self, name: str) -> list[Op]:
        """Return the input ops of one argument."""
        return list(self._inputs.get(name, ()))

    def get_input_op(self, name: str, idx: int = 0) -> Op:
        """Return one input op.

        Raises:
            XirError: when the argument has no such op.
        """
        ops = self._inputs.get(name, [])
        if not 0 <= idx < len(ops):
            raise XirError(f"{self._label()} has {len(ops)} ops as argument '{name}', asked for number {idx}")
        return ops[idx]

    def set_input_ops(self, name: str, ops: list[Op]) -> Op:
        """Connect `ops` as argument `name` in place of what was there, and return this op.

        Raises:
            XirError: when the op's type has no such argument, takes another number, or an op is of another graph.
        """
        self._check_occurrence(name, len(ops))
        self._connect(name, ops)
        return self

    def replace_input_ops(self, op_old: Op, op_new: Op) -> None:
        """Take `op_new` wherever `op_old` is an input.

        Raises:
            XirError: when the shapes differ or `op_new` is of another graph.
        """
        old, new = op_old._output._dims, op_new._output._dims
        if old != new:
            raise XirError(
                f"{self._label()}: cannot take '{op_new._name}' of shape {new} for '{op_old._name}' of shape {old}"
            )
        for name, ops in list(self._inputs.items()):
            if op_old in ops:
                self._connect(name, [op_new if op is op_old else op for op in ops])

    def get_input_tensors(self) -> list[Tensor]:
        """Return the output tensors of all input ops, sorted by argument name."""
        return [op._output for name in sorted(self._inputs) for op in self._inputs[name]]

    def get_input_tensors_by_name(self, name: str) -> list[Tensor]:
        """Return the output tensors of the input ops of one argument."""
        return [op._output for op in self._inputs.get(name, ())]

    def get_input_tensor(self, name: str, idx: int = 0) -> Tensor:
        """Return the output tensor of one input op.

        Raises:
            XirError: when the argument has no such op.
        """
        return self.get_input_op(name, idx)._output

    # --- output ---

    def get_fanout_num(self) -> int:
        """Return how many inputs of other ops this op feeds."""
        return sum(self._fanout.values())

    def get_fanout_ops(self) -> list[Op]:
        """Return the ops that take this op as an input, each once."""
        return list(self._fanout)

    def get_output_tensor(self) -> Tensor:
        """Return the output tensor."""
        return self._output

    def replace_output_tensor(self, tensor: Tensor) -> None:
        """Make `tensor` this op's output (AMD has this in C++ only)."""
        tensor._producer = self
        self._output = tensor

    def infer_shape(self) -> None:
        """Set the output tensor's shape and data type from the inputs and attributes; its name and attributes stay.

        Raises:
            XirError: when the inputs do not fit the op.
        """
        try:
            dims, dtype = shapes.infer(self)
        except XirError as error:
            label, text = self._label(), str(error)
            raise XirError(text if text.startswith(label) else f"{label}: {text}") from None
        except (IndexError, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
            shapes_in = ", ".join(str(tensor.dims) for tensor in self.get_input_tensors())
            raise XirError(
                f"{self._label()}: the output's shape does not follow from inputs {shapes_in}: {error}"
            ) from None
        if any(not 0 < dim < 2**31 for dim in dims):
            raise XirError(f"{self._label()}: inputs and attributes give the impossible shape {dims}")
        self._output._dims = dims
        self._output._dtype = dtype
        self._output._old_code = None

    # --- for Graph ---

    def _check_definition(self) -> None:
        """Check arguments and required attributes against the op type's definition, and set default attributes."""
        definition = op_defs.op_def(self._type)
        for name in {**self._inputs, **definition.args}:
            self._check_occurrence(name, len(self._inputs.get(name, ())))
        missing = [name for name in definition.required if name not in self._attrs]
        if missing:
            raise XirError(f"{self._label()} needs the attribute '{missing[0]}' of kind {definition.kinds[missing[0]]}")
        self._attrs = {**definition.defaults, **self._attrs}

    def _check_occurrence(self, name: str, count: int) -> None:
        args = op_defs.op_def(self._type).args
        occurrence = args.get(name)
        if occurrence is None:
            raise XirError(f"{self._label()} has no argument '{name}' (it has: {', '.join(args) or 'none'})")
        if occurrence == op_defs.REQUIRED and count != 1:
            raise XirError(f"{self._label()} takes exactly one op as argument '{name}', got {count}")
        if occurrence == op_defs.OPTIONAL and count > 1:
            raise XirError(f"{self._label()} takes at most one op as argument '{name}', got {count}")
        if occurrence == op_defs.REQUIRED_AND_REPEATED and count == 0:
            raise XirError(f"{self._label()} takes one or more ops as argument '{name}', got none")

    def _connect(self, name: str, ops: Iterable[Op]) -> None:
        new = list(ops)
        for op in new:
            if not isinstance(op, Op) or op._graph is not self._graph or op._id not in self._graph._alive:
                raise XirError(f"{self._label()}: argument '{name}' must be ops of the same graph, got {op!r:.80}")
        self._release(name)
        self._inputs[name] = new
        for op in new:
            op._fanout[self] = op._fanout.get(self, 0) + 1

    def _disconnect(self) -> None:
        for name in self._inputs:
            self._release(name)
        self._inputs = {}

    def _release(self, name: str) -> None:
        for op in self._inputs.get(name, ()):
            op._fanout[self] -= 1
            if not op._fanout[self]:
                del op._fanout[self]

    def _label(self) -> str:
        return f"op '{self._name}' ({self._type})"

    def _declared(self, name: str) -> str | None:
        return op_defs.op_def(self._type).kinds.get(name)

    def _defaults(self) -> dict[str, Attr]:
        return op_defs.op_def(self._type).defaults

    def __hash__(self) -> int:
        return self._id

    def __repr__(self) -> str:
        return f"<xir.Op named '{self._name}'>"

    def __str__(self) -> str:
        return f"{{name: '{self._name}', type: '{self._type}', attrs: {self.get_attrs()}}}"
