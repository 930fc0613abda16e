"""The lowering of a whole network: the runtime's, which holds int8 values, and the float values between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from softdpu.export.source import is_integer
from softdpu.extensions import enter
from softdpu.runtime.litert.lowering import Lowering, NotExactError, scale_of
from softdpu.runtime.litert.model import Operator
from softdpu.runtime.litert.rounding import dequantize
from softdpu.runtime.program import Node, Program, Value


class WholeLowering(Lowering):
    """One network on its way into a .tflite."""

    def __init__(self, program: Program, facts: Mapping[str, str], unsigned: bool) -> None:
        """Add the inputs, with zero point 128 where they are unsigned."""
        super().__init__(program.constants)
        self.floats: dict[str, int] = {}
        self._facts = facts
        self._entries: list[int] = []
        for value in program.inputs:
            if not is_integer(value):
                self.floats[value.key] = self.float32(value.shape)
                self._entries.append(self.floats[value.key])
                continue
            index = self.get(value).index
            if unsigned:
                self._entries.append(self.builder.tensor(value.shape, np.uint8, scale_of(value.position), 128))
                self.builder.operator(Operator.QUANTIZE, [self._entries[-1]], [index])
            else:
                self._entries.append(index)

    def real(self, value: Value) -> int:
        """Return the float32 tensor of a value: real numbers where it is int8."""
        if value.key not in self.floats:
            if value.key in self.constants and not is_integer(value):
                array = self.constants[value.key].astype(np.float32)
                self.floats[value.key] = self.builder.constant(array)
            elif is_integer(value):
                self.floats[value.key] = dequantize(self, value)
            else:
                raise NotExactError(f"'{value.name}' is {value.dtype}")
        return self.floats[value.key]

    def finish(self, program: Program) -> bytes:
        """Return the flatbuffer; outputs that are only made float at the very end stay int8."""
        indices, taken = [], set(self._entries)
        for value, held in zip(program.outputs, last_values(program), strict=True):
            index = self.plain(held) if is_integer(held) else self.real(held)
            if index in taken:
                index = self._copy(held, index)
            taken.add(index)
            indices.append(index)
            self.builder.name(index, value.name)
        for value, index in zip(program.inputs, self._entries, strict=True):
            self.builder.name(index, value.name)
        return self.builder.finish(self._entries, indices, self._facts)

    def _copy(self, value: Value, index: int) -> int:
        return self.reshape(index, self.int8(value) if is_integer(value) else self.float32(value.shape), value.shape)


def last_values(program: Program) -> list[Value]:
    """Return for each output the value that the file yields: int8, where only a fix2float follows it."""
    makers = {node.key: node for node in program.nodes}
    found = []
    for value in program.outputs:
        node = makers.get(value.key)
        ends = node is not None and node.kind == "fix2float" and is_integer(node.input)
        found.append(node.input if node is not None and ends else value)
    return found


Lower = Callable[[WholeLowering, Node], None]
FLOATS: dict[str, Lower] = {}


def float_lowering(*kinds: str) -> Callable[[Lower], Lower]:
    """Register the lowering of ops whose inputs or output are float."""
    return enter(FLOATS, kinds)
