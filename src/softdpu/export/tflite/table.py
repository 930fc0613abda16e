"""Chains of float functions between two int8 tensors, as a table of 256 numbers.

tanh, elu or a division in float32 differ between libraries in their last bit. Between int8 and int8 such a chain is a
function of 256 numbers, which the reference gives once; nothing is left to differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from softdpu.export.source import is_integer
from softdpu.runtime.program import Node, Program, Value
from softdpu.runtime.reference import run_node

_FUNCTIONS = {"tanh", "sigmoid", "elu", "selu", "exp", "swish", "hard-swish", "hard-sigmoid", "gelu", "mish"}
_EXACT = {"relu", "relu6", "leaky-relu", "neg", "hard-tanh", "cast", "identity", "fix2float"}
_ARITHMETIC = {"add", "sub", "mul", "div", "min", "max"}
_MOVES = {"maxpool2d", "reshape", "transpose", "strided_slice", "flatten", "squeeze"}


@dataclass(frozen=True)
class Table:
    """What a chain computes.

    Attributes:
        source: the int8 value in which it begins.
        numbers: what -128..127 become, int8.
        moves: ops of the chain that only move numbers, in order.
    """

    source: Value
    numbers: np.ndarray
    moves: tuple[Node, ...]

    def first(self, node: Node) -> Node:
        """Return the op that stores the table's numbers: the chain's last, or one before its moves."""
        if not self.moves:
            return node
        output = replace(node.output, key=f"{node.key} table", shape=self.source.shape)
        return replace(node, key=output.key, output=output)

    def moved(self, step: Node, value: Value) -> Node:
        """Return a move of the chain for numbers that are already those of the table."""
        output = replace(step.output, key=f"{step.key} of table")
        inputs = {"input": (replace(step.input, key=value.key),)}
        return replace(step, key=output.key, inputs=inputs, output=output)


def find_tables(program: Program) -> dict[str, Table]:
    """Return by its last op (float2fix) every chain that holds a function which libraries compute differently."""
    makers = {node.key: node for node in program.nodes}
    found = {}
    for node in program.nodes:
        if node.kind == "float2fix":
            table = _table(program, makers, node)
            if table is not None:
                found[node.key] = table
    return found


def _table(program: Program, makers: dict[str, Node], last: Node) -> Table | None:
    chain: list[Node] = [last]
    value = last.input
    while not is_integer(value):
        node = makers.get(value.key)
        if node is None or not _fits(program, node):
            return None
        chain.append(node)
        value = next(v for v in node.all_inputs() if v.key not in program.constants)
    chain.reverse()
    kinds = {node.kind for node in chain}
    if not kinds & _FUNCTIONS and "div" not in kinds:
        return None
    moves = tuple(node for node in chain if node.kind in _MOVES)
    numbers = _run(program, value, [node for node in chain if node.kind not in _MOVES])
    if any(node.kind == "maxpool2d" for node in moves) and (np.diff(numbers.astype(int)) < 0).any():
        return None  # the largest of the results is not the result of the largest
    return Table(value, numbers, moves)


def _fits(program: Program, node: Node) -> bool:
    """Tell whether an op is a function of one number, the same for all of a tensor, or a move."""
    computed = [v for v in node.all_inputs() if v.key not in program.constants]
    constants = [v for v in node.all_inputs() if v.key in program.constants]
    if len(computed) != 1:
        return False
    if node.kind in _ARITHMETIC:
        return all(program.constants[v.key].size == 1 for v in constants)
    return not constants and node.kind in _FUNCTIONS | _EXACT | _MOVES


def _run(program: Program, source: Value, chain: list[Node]) -> np.ndarray:
    """Return the reference's answers of a chain for -128..127: int8[256]."""
    array: np.ndarray = np.arange(-128, 128, dtype=np.int8)
    value = replace(source, shape=(256,))
    for node in chain:
        output = replace(node.output, shape=(256,))
        given = {value.key: array}
        inputs = []
        for other in node.all_inputs():
            if other.key in program.constants:
                given[other.key] = program.constants[other.key].reshape(1)
                inputs.append(replace(other, shape=(1,)))
            else:
                inputs.append(value)
        one = replace(node, inputs={"input": tuple(inputs)}, output=output)
        array, value = run_node(one, given), output
    return array
