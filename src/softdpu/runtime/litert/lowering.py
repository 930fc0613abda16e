"""What every lowering shares: the model being built and what its tensors hold.

LiteRT's convolutions round half to even, the DPU rounds half up. Every scale here is a power of two, so ties are exact,
and two devices move them up without touching anything else:

- the weights' scale is multiplied by 1 + 2**-23, which moves a positive tie up;
- where numbers may be negative, the output's zero point is -128 and the bias grows by 128 output steps, so that what is
  rounded is never negative.

After the second device the bytes are the DPU's, but LiteRT takes them as 128 steps too large. `Held.zero` records that;
each consumer allows for it, or asks for `plain`, which subtracts the 128 steps again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.extensions import enter
from softdpu.runtime.litert.model import ModelBuilder, Operator, option
from softdpu.runtime.program import Node, Value

UP = float(np.float32(1 + 2**-23))
OFFSET = -128


class NotExactError(SoftdpuError):
    """This op has no exact lowering; the text says why."""


@dataclass(frozen=True)
class Held:
    """An int8 value in the model.

    Attributes:
        index: of its LiteRT tensor, whose bytes are the DPU's.
        zero: the LiteRT tensor's zero point, which the DPU's number format has not.
        positive: no number is negative.
    """

    index: int
    zero: int = 0
    positive: bool = False


class Lowering:
    """One segment of a program on its way into a LiteRT model."""

    def __init__(self, constants: Mapping[str, np.ndarray]) -> None:
        self.builder = ModelBuilder()
        self.constants = constants
        self.held: dict[str, Held] = {}
        self.inputs: dict[str, int] = {}

    def get(self, value: Value) -> Held:
        """Return where a value is held; one from outside of the segment becomes an input of the model."""
        if value.key not in self.held:
            if value.dtype != np.int8:
                raise NotExactError(f"'{value.name}' is {value.dtype}")
            if value.key in self.constants:
                array = self.constants[value.key]
                index = self.builder.constant(array, scale_of(value.position))
                self.held[value.key] = Held(index, positive=bool(array.min() >= 0))
            else:
                index = self.builder.tensor(value.shape, np.int8, scale_of(value.position))
                self.inputs[value.key] = index
                self.held[value.key] = Held(index)
        return self.held[value.key]

    def plain(self, value: Value) -> int:
        """Return the tensor of a value with zero point 0, so that LiteRT sees the DPU's real numbers."""
        held = self.get(value)
        if held.zero == 0:
            return held.index
        index = self.int8(value)
        offset = self.builder.constant(np.full((1,) * len(value.shape), held.zero, np.int8), scale_of(value.position))
        self.add([held.index, offset], index)
        self.held[value.key] = Held(index, 0, held.positive)
        return index

    def constant(self, value: Value) -> np.ndarray:
        """Return a constant's array."""
        if value.key not in self.constants:
            raise NotExactError(f"'{value.name}' is computed, not constant")
        return self.constants[value.key]

    def int8(self, value: Value, zero: int = 0, shape: tuple[int, ...] | None = None) -> int:
        """Add an int8 tensor at the position of `value`."""
        return self.builder.tensor(value.shape if shape is None else shape, np.int8, scale_of(value.position), zero)

    def float32(self, shape: tuple[int, ...]) -> int:
        """Add a float32 tensor."""
        return self.builder.tensor(shape, np.float32)

    def numbers(self, *values: float, rank: int = 0) -> int:
        """Add a float32 constant that broadcasts against tensors of a rank, along their last axis."""
        return self.builder.constant(np.asarray(values, np.float32).reshape((1,) * max(rank - 1, 0) + (-1,)))

    def ints(self, values: object) -> int:
        """Add an int32 constant."""
        return self.builder.constant(np.asarray(values, np.int32))

    def reshape(self, source: int, target: int, shape: tuple[int, ...]) -> int:
        """Add a RESHAPE of one tensor into another of this shape, and return that."""
        options = option("Reshape", newShape=np.asarray(shape, np.int32))
        self.builder.operator(Operator.RESHAPE, [source, self.ints(shape)], [target], options)
        return target

    def put(self, node: Node, index: int, zero: int = 0, positive: bool = False) -> None:
        """Say where the output of an op is held."""
        self.held[node.key] = Held(index, zero, positive)

    def alias(self, node: Node, value: Value) -> None:
        """Say that an op's output is its input, byte for byte."""
        self.held[node.key] = self.get(value)

    def add(self, inputs: list[int], output: int, activation: int = 0) -> None:
        """Add an addition; LiteRT's of int8 rounds half up already."""
        options = option("Add", fusedActivationFunction=activation, potScaleInt16=False)
        self.builder.operator(Operator.ADD, inputs, [output], options)


def scale_of(position: int) -> float:
    """Return 2**-position, refusing what float32 scales could not be multiplied with."""
    if abs(position) > 60:
        raise NotExactError(f"position {position} is past 60")
    return 2.0**-position


Lower = Callable[[Lowering, Node], None]
LOWERINGS: dict[str, Lower] = {}


def lowering(*kinds: str) -> Callable[[Lower], Lower]:
    """Register the lowering of op types. It raises NotExactError where it cannot keep every bit."""
    return enter(LOWERINGS, kinds)
