"""A subgraph as the engines see it: plain values, no link back to xir.

Engines keep a Program and nothing else, so a runner goes on working after its graph is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers.dpu import read_attribute
from softdpu.runtime.parameters import read_constant

if TYPE_CHECKING:
    from xir import Graph, Op, Subgraph, Tensor

_MOST_POSITION = 128  # of a float32's exponents; a larger one would make numbers of thousands of digits
CONSTANTS = ("const", "const-fix")
INPUTS = ("data", "data-fix", "placeholder")

# XINT8 and INT8 hold the same bytes; the X only says that the tensor carries a position.
_TYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"]


@dataclass(frozen=True)
class Value:
    """What one op yields.

    Attributes:
        key: the op's name, by which consumers refer to it.
        name: the tensor's name, by which users refer to it.
        shape: of the tensor, batch first.
        dtype: of the numpy array; int8 for xint8.
        fix_point: position p, real = q * 2**-p; None for a float tensor.
    """

    key: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fix_point: int | None

    @property
    def position(self) -> int:
        """The position of an integer tensor.

        Raises:
            SoftdpuError: where the tensor has none.
        """
        if self.fix_point is None:
            raise SoftdpuError(f"tensor '{self.name}' of op '{self.key}' has no fix_point, which its consumer needs")
        return self.fix_point


@dataclass(frozen=True)
class Node:
    """One op: its kind (xir's type), attributes, inputs by argument name, and its output."""

    key: str
    kind: str
    attrs: Mapping[str, Any]
    inputs: Mapping[str, tuple[Value, ...]]
    output: Value

    @property
    def input(self) -> Value:
        """The first value of argument "input"."""
        return next(iter(self.inputs["input"] if "input" in self.inputs else self.all_inputs()))

    def attr(self, name: str) -> Any:
        """Return a required attribute.

        Raises:
            SoftdpuError: where it is missing.
        """
        if name not in self.attrs:
            raise SoftdpuError(f"op '{self.key}' of type {self.kind} lacks the attribute '{name}'")
        return self.attrs[name]

    def pair(self, name: str, default: tuple[int, int] = (1, 1)) -> tuple[int, int]:
        """Return a {w, h} attribute as (height, width)."""
        width, height = self.attrs.get(name) or default[::-1]
        return int(height), int(width)

    def pads(self) -> tuple[int, int, int, int]:
        """Return the attribute `pad` as (top, bottom, left, right)."""
        left, right, top, bottom = self.attrs.get("pad") or (0, 0, 0, 0)
        return int(top), int(bottom), int(left), int(right)

    def all_inputs(self) -> list[Value]:
        """Return every input in the order of the arguments."""
        return [value for values in self.inputs.values() for value in values]


@dataclass(frozen=True)
class Program:
    """Ops in an order in which they can run, with their constants, inputs and outputs (sorted by tensor name)."""

    name: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def read_subgraph(subgraph: Subgraph) -> Program:
    """Read an xir subgraph; its inputs are what ops outside of it produce.

    Raises:
        SoftdpuError: for a constant without data, or with weights in an order that only the hardware knows.
    """
    ops = list(subgraph.toposort())
    outside = {value.key: value for value in map(value_of_tensor, subgraph.get_input_tensors())}
    outputs = [value_of_tensor(tensor) for tensor in subgraph.get_output_tensors()]
    return _program(subgraph.get_name(), ops, outside, outputs, _dpu_of(subgraph))


def read_graph(graph: Graph) -> Program:
    """Read a whole xir graph, compiled or not; its inputs are its data ops, its outputs what nobody consumes."""
    ops = list(graph.toposort())
    outputs = [_value(op) for op in graph.get_tail_ops() if op.get_type() not in CONSTANTS]
    return _program(graph.get_name(), ops, {}, outputs, _all_dpus(graph.get_root_subgraph()))


def _program(
    name: str, ops: list[Op], outside: dict[str, Value], outputs: list[Value], dpus: list[Subgraph]
) -> Program:
    values = dict(outside)
    inputs = list(outside.values())
    nodes, constants = [], {}
    for op in ops:
        value = _value(op)
        values[value.key] = value
        if op.get_type() in CONSTANTS:
            constants[value.key] = _constant(op, value, dpus)
        elif op.get_type() in INPUTS:
            inputs.append(value)
        else:
            nodes.append(_node(op, value, values))
    return Program(name, tuple(nodes), constants, _sort(inputs), _sort(outputs))


def _sort(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(sorted(values, key=lambda value: value.name))


def _node(op: Op, output: Value, values: dict[str, Value]) -> Node:
    inputs = {
        argument: tuple(values[producer.get_name()] for producer in producers)
        for argument, producers in op.get_input_ops().items()
        if producers
    }
    return Node(output.key, op.get_type(), op.get_attrs(), inputs, output)


def _value(op: Op) -> Value:
    return _as_value(op.get_name(), op.get_output_tensor())


def value_of_tensor(tensor: Tensor) -> Value:
    """Return the value that a tensor of xir holds, known by the op that makes it."""
    assert tensor.producer is not None  # a tensor of a graph
    return _as_value(tensor.producer.get_name(), tensor)


def _as_value(key: str, tensor: Tensor) -> Value:
    shape = tuple(int(size) for size in tensor.dims)
    name = str(tensor.dtype).lower().lstrip("x")
    if name not in _TYPES:
        raise SoftdpuError(f"op '{key}': the runtime has no data type {tensor.dtype}; it has {', '.join(_TYPES)}")
    fix_point = int(tensor.get_attr("fix_point")) if tensor.has_attr("fix_point") else None
    if fix_point is not None and not -_MOST_POSITION <= fix_point <= _MOST_POSITION:
        raise SoftdpuError(
            f"op '{key}': the fix_point {fix_point} of its output is none that a quantizer gives "
            f"({-_MOST_POSITION} to {_MOST_POSITION})"
        )
    return Value(key, tensor.name, shape, np.dtype(name), fix_point)


def _constant(op: Op, value: Value, dpus: list[Subgraph]) -> np.ndarray:
    data = op.get_attr("data") if op.has_attr("data") else b""
    if not data:
        return _parameter(op, dpus)
    size = int(np.prod(value.shape)) * value.dtype.itemsize
    if len(data) < size:
        raise SoftdpuError(f"constant '{value.key}' needs {size} bytes for shape {list(value.shape)}, has {len(data)}")
    return np.frombuffer(bytes(data), value.dtype, count=size // value.dtype.itemsize).reshape(value.shape)


def _parameter(op: Op, dpus: list[Subgraph]) -> np.ndarray:
    """Return a constant that a compiled file keeps in the parameters of one of its DPU subgraphs."""
    owner = next((subgraph for subgraph in dpus if subgraph.has_op(op.get_name())), None)
    if owner is None or not op.get_output_tensor().has_attr("ddr_addr"):
        raise SoftdpuError(f"constant '{op.get_name()}' has no data, neither of its own nor at a ddr_addr")
    found = read_constant(op, owner)
    if found is None:
        raise SoftdpuError(
            f"constant '{op.get_name()}' of subgraph '{owner.get_name()}': AMD's compiler keeps it in an undocumented "
            f"order for {read_attribute(owner, 'dpu_name', str) or 'this DPU'}; compile the model with softdpu"
        )
    found.flags.writeable = False
    return found


def _dpu_of(subgraph: Subgraph | None) -> list[Subgraph]:
    """Return the subgraph itself or its nearest parent that has parameters."""
    while subgraph is not None:
        if subgraph.has_attr("reg_id_to_parameter_value"):
            return [subgraph]
        subgraph = subgraph.get_parent()
    return []


def _all_dpus(root: Subgraph) -> list[Subgraph]:
    return [child for child in root.toposort_child_subgraph() if child.has_attr("reg_id_to_parameter_value")]
