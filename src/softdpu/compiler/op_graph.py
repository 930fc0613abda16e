"""The graph that the passes work on: operations in topological order, each with one output tensor.

It is a plain picture of an xir graph (same kinds, attributes and names), kept apart from it so that a pass is a
function from a graph to a graph in time linear in its size. A pass leaves the graph that it gets as it is: it works on
operations of its own, which `Graph.copy` and `Graph.rewire` make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

ROUND_MODES = ("STD_ROUND", "DPU_ROUND", "PY3_ROUND")
STD_ROUND, DPU_ROUND, PY3_ROUND = 0, 1, 2


@dataclass(frozen=True)
class Fix:
    """How a tensor is stored as integers: value = q / 2**position, rounded by `round_mode` (0, 1, 2 of ROUND_MODES)."""

    position: int
    bit_width: int = 8
    round_mode: int = DPU_ROUND

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of a fix operation, and of a tensor that has one folded in."""
        return {
            "fix_point": self.position,
            "bit_width": self.bit_width,
            "if_signed": True,
            "round_mode": ROUND_MODES[self.round_mode],
        }


@dataclass(eq=False)
class Op:
    """One operation and its output tensor.

    Attributes:
        name, kind: as in xir, kind such as conv2d or conv2d-fix.
        inputs: by argument name (input, weights, bias, weight), the producing operations.
        attrs: operation attributes.
        shape: of the output, NHWC with batch first.
        tensor: name of the output tensor.
        fix: how the output is quantized; None for float.
        data: float32[...] or int8[...] of a constant, else None.
        layer: name of the Keras layer that it came from, for messages.
        quant: the quant_in_* and quant_out_* attributes of the fix operation that was folded into the output.
        device: USER, DPU or CPU once the graph is partitioned.
        reason: why it cannot run on the DPU, and what to change; empty if it can.
    """

    name: str
    kind: str
    inputs: dict[str, list[Op]] = field(default_factory=dict)
    attrs: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    tensor: str = ""
    fix: Fix | None = None
    data: np.ndarray | None = None
    layer: str = ""
    quant: dict[str, Any] = field(default_factory=dict)
    device: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        self.tensor = self.tensor or self.name

    @property
    def input(self) -> Op:
        """The first operation of argument `input`."""
        return self.inputs["input"][0]

    def all_inputs(self) -> Iterator[Op]:
        """Yield the producers of all arguments."""
        for ops in self.inputs.values():
            yield from ops

    @property
    def is_integer(self) -> bool:
        """Whether the output holds int8 numbers with a position."""
        return self.fix is not None and self.kind not in ("fix", "fix2float")

    @property
    def is_constant(self) -> bool:
        """Whether the output does not depend on the model's inputs."""
        return self.kind in ("const", "const-fix")


@dataclass
class Graph:
    """A model: its operations in topological order and the attributes of the file.

    Attributes:
        name: of the model.
        ops: producers come before consumers.
        outputs: the operations whose results leave the model.
        attrs: graph attributes, such as origin.
    """

    name: str
    ops: list[Op]
    outputs: list[Op]
    attrs: dict[str, Any] = field(default_factory=dict)

    def consumers(self) -> dict[Op, list[Op]]:
        """Return for each operation those that read it, once for each reading argument."""
        readers: dict[Op, list[Op]] = {op: [] for op in self.ops}
        for op in self.ops:
            for producer in op.all_inputs():
                readers[producer].append(op)
        return readers

    def copy(self) -> Graph:
        """Return the same graph with operations of its own, which a pass may change; constants' data is shared."""
        return self.rewire({}, self.ops)

    def rewire(self, replaced: dict[Op, Op], ops: Iterable[Op] | None = None) -> Graph:
        """Return a copy of the graph with every use of a key of `replaced` turned into a use of its value.

        Args:
            replaced: old operation to new one; chains are followed.
            ops: the new list of operations; without it, the old list minus the replaced ones.
        """

        def final(op: Op) -> Op:
            while op in replaced:
                op = replaced[op]
            return op

        kept = ops if ops is not None else [op for op in self.ops if op not in replaced]
        made: dict[Op, Op] = {}
        for op in _sort([*kept, *map(final, self.outputs)], final):
            inputs = {name: [made[final(producer)] for producer in group] for name, group in op.inputs.items()}
            made[op] = replace(op, inputs=inputs, attrs=dict(op.attrs), quant=dict(op.quant))
        return Graph(self.name, list(made.values()), [made[final(op)] for op in self.outputs], dict(self.attrs))

    def drop_unused(self) -> Graph:
        """Return the graph without the operations that no output depends on; inputs of the model stay."""
        used = set(self.outputs) | {op for op in self.ops if op.kind in ("data", "data-fix")}
        for op in reversed(self.ops):
            if op in used:
                used.update(op.all_inputs())
        return Graph(self.name, [op for op in self.ops if op in used], self.outputs, self.attrs)


def _sort(ops: list[Op], final: Callable[[Op], Op]) -> list[Op]:
    """Return `ops` and everything they read, each taken as `final` gives it, producers first, else in this order."""
    done: set[Op] = set()
    order: list[Op] = []
    for root in ops:
        stack: list[tuple[Op, Iterator[Op]]] = [(root, map(final, root.all_inputs()))] if root not in done else []
        done.add(root)
        while stack:
            op, producers = stack[-1]
            missing = next((producer for producer in producers if producer not in done), None)
            if missing is None:
                order.append(op)
                stack.pop()
            else:
                done.add(missing)
                stack.append((missing, map(final, missing.all_inputs())))
    return order
