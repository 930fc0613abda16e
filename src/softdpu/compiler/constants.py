"""Pass: a constant and its fix operation become one int8 constant."""

from __future__ import annotations

import numpy as np

from softdpu.compiler.op_graph import DPU_ROUND, PY3_ROUND, STD_ROUND, Fix, Graph, Op
from softdpu.numbers import fixed_point

_MODES = {
    STD_ROUND: fixed_point.HALF_AWAY_FROM_ZERO,
    DPU_ROUND: fixed_point.HALF_UP,
    PY3_ROUND: fixed_point.HALF_TO_EVEN,
}


def fold_parameters(graph: Graph) -> Graph:
    """Turn each const -> fix into a const-fix, named like the constant, with the fix operation's tensor name."""
    replaced: dict[Op, Op] = {}
    for op in graph.ops:
        if op.kind == "fix" and op.input.kind == "const" and op.fix is not None and op.fix.bit_width == 8:
            const = op.input
            assert const.data is not None
            data = fixed_point.quantize(const.data, op.fix.position, _MODES[op.fix.round_mode])
            replaced[op] = make_integer_constant(const.name, op.name, data, op.fix, op.layer)
    return graph.rewire(replaced).drop_unused()


def as_float(const: Op) -> Op:
    """Return the float constant of an int8 one: the numbers that it stands for."""
    assert const.data is not None and const.fix is not None
    data = fixed_point.dequantize(const.data, const.fix.position)
    return Op(const.name, "const", {}, {}, const.shape, tensor=const.tensor, data=data, layer=const.layer)


def make_integer_constant(name: str, tensor: str, data: np.ndarray, fix: Fix, layer: str) -> Op:
    """Return an int8 constant."""
    return Op(name, "const-fix", {}, {}, data.shape, tensor, fix, np.ascontiguousarray(data), layer)
