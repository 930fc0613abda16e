"""A QDQ ONNX graph in the making: every int8 tensor of the DPU as a pair QuantizeLinear, DequantizeLinear.

The DPU's graph is NHWC, ONNX's convolutions are NCHW. A tensor of four axes is held in the layout that made it, and
turned once where something asks for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from softdpu.errors import SoftdpuError
from softdpu.export.qdq.flavours import Flavour
from softdpu.export.source import is_integer
from softdpu.runtime.program import Node, Value

NCHW, NHWC, FLAT = "nchw", "nhwc", ""  # FLAT: any other number of axes
_TO = {NCHW: (0, 3, 1, 2), NHWC: (0, 2, 3, 1)}
NO_EQUIVALENT = "has no equivalent in ONNX here"


@dataclass
class Held:
    """Where a value is in the ONNX graph.

    Attributes:
        sources: float tensors by layout; of an int8 value they are what is still to be quantized.
        position: of an int8 value, None for a float one.
        read: by layout, the tensors that consumers read.
    """

    sources: dict[str, str]
    position: int | None
    read: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """The float tensor that is rounded to an op's int8 output, and its layout.

    Attributes:
        earlier: tensors that were rounded on the way, with their positions, before an activation.
    """

    tensor: str
    layout: str
    earlier: tuple[tuple[str, int], ...] = ()


class QdqGraph:
    """Collects nodes and initializers; emitters read values with `real` and return what they made."""

    def __init__(self, constants: Mapping[str, np.ndarray], flavour: Flavour, opset: int, tie_free: bool) -> None:
        self.constants = constants
        self.flavour = flavour
        self.opset = opset
        self.tie_free = tie_free
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self.held: dict[str, Held] = {}
        self.places: dict[str, Place] = {}
        self._earlier: list[tuple[str, int]] = []
        self._tensors: set[str] = set()
        self._nodes: set[str] = set()
        self._constants: dict[tuple[str, str], str] = {}

    def reserve(self, tensor: str) -> str:
        """Keep a tensor's name for an input or an output of the network."""
        return _unique(self._tensors, tensor)

    def rename(self, tensor: str, name: str) -> None:
        """Give a tensor a name that was reserved."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, other in enumerate(names):
                    if other == tensor:
                        names[index] = name

    def initializer(self, name: str, array: Any) -> str:
        """Add an initializer and return its name."""
        name = _unique(self._tensors, name)
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, inputs: Sequence[str], name: str, output: str | None = None, **attrs: Any) -> str:
        """Add a node and return the name of its one output, which by default is the node's."""
        name = _unique(self._nodes, name)
        made = _unique(self._tensors, output or name)
        self.nodes.append(helper.make_node(op, list(inputs), [made], name, **attrs))
        return made

    def layout_of(self, value: Value) -> str:
        """Return a layout in which a value is at hand, NCHW where it is at hand in both."""
        if len(value.shape) != 4:
            return FLAT
        if value.key in self.constants:
            return NCHW
        return NCHW if NCHW in self.held[value.key].sources else NHWC

    def put(self, node: Node, tensor: str, layout: str) -> None:
        """Say that a float tensor is an op's output; int8 outputs are quantized when they are read."""
        position = node.output.position if is_integer(node.output) else None
        self.held[node.key] = Held({layout: tensor}, position)
        if position is not None:
            self.places[node.key] = Place(tensor, layout, tuple(self._earlier))
        self._earlier.clear()

    def put_on_grid(self, node: Node, tensor: str, layout: str, position: int) -> None:
        """Say that a float output only holds numbers of an int8 tensor: it is quantized too, which changes nothing."""
        self.held[node.key] = Held({layout: tensor}, position)

    def pair_inside(self, tensor: str, position: int) -> str:
        """Add a pair within an op, between what the DPU does as one."""
        self.note_rounded(tensor, position)
        return self.pair(tensor, position)

    def note_rounded(self, tensor: str, position: int) -> None:
        """Say that a tensor is rounded on the way to the output of the op that is put next."""
        self._earlier.append((tensor, position))

    def put_input(self, value: Value, tensor: str, layout: str) -> None:
        """Say that a float tensor is an input of the network."""
        self.held[value.key] = Held({layout: tensor}, value.fix_point if is_integer(value) else None)

    def alias(self, node: Node, value: Value) -> None:
        """Say that an op's output is its input."""
        self.held[node.key] = self.held[value.key]

    def read_real(self, value: Value, layout: str) -> str:
        """Return the float tensor that a consumer reads: behind a DequantizeLinear where the value is int8.

        Args:
            value: an op's output, an input or a constant.
            layout: NCHW or NHWC; a value that has not four axes has FLAT alone.
        """
        layout = layout if len(value.shape) == 4 else FLAT
        if value.key in self.constants:
            return self._constant(value, layout)
        held = self.held[value.key]
        source = self.source(value, layout)
        return source if held.position is None else self._read(held, layout)

    def source(self, value: Value, layout: str) -> str:
        """Return a float tensor in a layout, before it is quantized, turned where it is not at hand."""
        held = self.held[value.key]
        if layout not in held.sources:
            (other,) = held.sources
            source = held.sources[other] if held.position is None else self._read(held, other)
            held.sources[layout] = self.node("Transpose", [source], f"{source}_{layout}", perm=_TO[layout])
        return held.sources[layout]

    def _read(self, held: Held, layout: str) -> str:
        made = held.read.setdefault(layout, [])
        if not made or self.flavour.dedicated_pairs:
            made.append(self.pair(held.sources[layout], held.position or 0))
        return made[-1]

    def pair(self, tensor: str, position: int) -> str:
        """Add QuantizeLinear and DequantizeLinear of a float tensor and return the latter's output."""
        scale = self.initializer(f"{tensor}_scale", np.float32(2.0**-position))
        zero = self.initializer(f"{tensor}_zero_point", np.int8(0))
        name = f"{tensor}_QuantizeLinear"
        quantized = self.node("QuantizeLinear", [tensor, scale, zero], name, f"{name}_Output")
        name = f"{tensor}_DequantizeLinear"
        return self.node("DequantizeLinear", [quantized, scale, zero], name, f"{name}_Output")

    def add_quantized(self, name: str, array: np.ndarray, position: int) -> str:
        """Add an initializer of integers behind a DequantizeLinear and return that."""
        numbers = self.initializer(f"{name}_quantized", array)
        scale = self.initializer(f"{name}_scale", np.float32(2.0**-position))
        zero = self.initializer(f"{name}_zero_point", array.dtype.type(0))
        dequantize = f"{name}_DequantizeLinear"
        return self.node("DequantizeLinear", [numbers, scale, zero], dequantize, f"{dequantize}_Output")

    def number(self, name: str, number: float) -> str:
        """Add one float32 number."""
        return self.initializer(name, np.float32(number))

    def ints(self, name: str, numbers: Sequence[int]) -> str:
        """Add int64 numbers."""
        return self.initializer(name, np.asarray(numbers, np.int64))

    def array(self, value: Value) -> np.ndarray:
        """Return a constant's array.

        Raises:
            SoftdpuError: if the value is computed.
        """
        if value.key not in self.constants:
            raise SoftdpuError(f"'{value.name}' is computed, where a constant is needed: that {NO_EQUIVALENT}")
        return self.constants[value.key]

    def weights(self, value: Value, array: np.ndarray) -> str:
        """Add a constant in a new shape: int8 behind a DequantizeLinear, also floats that are int8 at a position."""
        if value.fix_point is not None:
            return self.add_quantized(value.key, array, value.fix_point)
        position = int8_position(array)
        if position is None:
            return self.initializer(value.key, array.astype(np.float32))
        return self.add_quantized(value.key, np.ldexp(array, position).astype(np.int8), position)

    def _constant(self, value: Value, layout: str) -> str:
        key = (value.key, layout)
        if key not in self._constants:
            array = self.array(value)
            turned = array.transpose(_TO[NCHW]) if layout == NCHW else array
            turned = np.ascontiguousarray(turned)
            if value.fix_point is not None and is_integer(value):
                self._constants[key] = self.add_quantized(value.key, turned, value.fix_point)
            else:
                self._constants[key] = self.initializer(value.key, turned)
        return self._constants[key]

    def half_up(self, tensor: str, unit: int, node: Node) -> str:
        """Return a tensor of multiples of 2**-unit, in the tie-free form raised by half of one so that ties round up.

        A unit that is no finer than the op's position has no ties, and nothing is added.
        """
        if not self.tie_free or not is_integer(node.output) or unit <= node.output.position:
            return tensor
        step = self.number(f"{node.key}_tie", 2.0 ** -(unit + 1))
        return self.node("Add", [tensor, step], f"{node.key}_half_up")

    def move(self, tensor: str, node: Node) -> str:
        """Return the result of an op that only picks numbers of its int8 input.

        Where the op also changes the position, a pair at the input's stands first: NPU compilers want the tensors
        around such an op at one position.
        """
        if node.input.fix_point is None or not is_integer(node.output):
            return tensor
        if node.input.position == node.output.position:
            return tensor
        return self.half_up(self.pair(tensor, node.input.position), node.input.position, node)

    def floor_to(self, tensor: str, position: int, name: str) -> str:
        """Return floor(x * 2**position + 1/2) * 2**-position of a float tensor: half up, whatever the numbers are."""
        steps = self.node("Mul", [tensor, self.number(f"{name}_steps", 2.0**position)], f"{name}_in_steps")
        raised = self.node("Add", [steps, self.number(f"{name}_half", 0.5)], f"{name}_raised")
        whole = self.node("Floor", [raised], f"{name}_floor")
        return self.node("Mul", [whole, self.number(f"{name}_step", 2.0**-position)], f"{name}_half_up")


def int8_position(array: np.ndarray) -> int | None:
    """Return the smallest position at which all of an array are int8 numbers, None where there is none."""
    if not array.size or not np.isfinite(array).all():
        return None
    for position in range(-16, 24):
        steps = np.ldexp(array.astype(np.float64), position)
        if np.abs(steps).max() > 128:
            return None
        if (steps == np.rint(steps)).all() and steps.max() <= 127:
            return position
    return None


def _unique(taken: set[str], name: str) -> str:
    """Return `name`, or with a number behind it where it is taken, and take it."""
    found, number = name, 1
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found
