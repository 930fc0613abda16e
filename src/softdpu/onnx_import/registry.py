"""The operations that can be imported: a function each, found by the operation's type.

Another one is a function in a module of `ops` with a line above it:

    @operation("Elu", runs="CPU")
    def elu(build: Lowering, node: Node) -> Value:
        ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.value import Value

Function = Callable[[Any, Node], "Value | list[Value]"]  # the first is a lower.Lowering

# FLOAT: in the Keras model alone; the quantizer refuses it. NOWHERE: nothing is left to do.
DPU, CPU, BOTH, FLOAT, NOWHERE = "DPU", "CPU", "DPU or CPU", "float alone", ""


@dataclass(frozen=True)
class Operation:
    """How one type of operation is imported, and where it runs on a board: DPU, CPU, BOTH, FLOAT or NOWHERE."""

    function: Function
    runs: str


OPERATIONS: dict[str, Operation] = {}


def operation(*kinds: str, runs: str) -> Callable[[Function], Function]:
    """Register a function for operation types."""

    def register(function: Function) -> Function:
        OPERATIONS.update(dict.fromkeys(kinds, Operation(function, runs)))
        return function

    return register


class Refused(Exception):
    """Why one node cannot be imported; the lowering collects them into one message."""
