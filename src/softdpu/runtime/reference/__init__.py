"""The reference engine: every op as its definition reads, in exact integers, one op after another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.extensions import import_extensions, import_modules
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node, Program, Value
from softdpu.runtime.reference.registry import FLOAT_KERNELS, INTEGER_KERNELS, Args, Kernel

__all__ = ["check_kinds", "run_node", "run_program"]

_BORDERS = ("float2fix", "fix", "cast")  # float kernels that choose the output's data type themselves


def run_program(
    program: Program, inputs: Mapping[str, np.ndarray], kernels: Mapping[str, Kernel] | None = None
) -> dict[str, np.ndarray]:
    """Run a program once.

    Args:
        program: as read from a subgraph or a graph.
        inputs: by key of the input values, in their shapes and data types.
        kernels: further op types, for a user's own operators.

    Returns:
        Every output by key, float32 or integers as its tensor says.
    """
    values: dict[str, np.ndarray] = {**program.constants, **inputs}
    uses = _last_uses(program)
    for index, node in enumerate(program.nodes):
        values[node.key] = run_node(node, values, kernels)
        for key in uses.get(index, ()):
            del values[key]
    return {value.key: _cast_as_declared(values[value.key], value) for value in program.outputs}


def run_node(node: Node, values: Mapping[str, np.ndarray], kernels: Mapping[str, Kernel] | None = None) -> np.ndarray:
    """Run one op on the values of its inputs.

    Raises:
        SoftdpuError: naming the op, for a type or an attribute that the runtime does not know.
    """
    args = {name: [values[value.key] for value in group] for name, group in node.inputs.items()}
    if kernels and node.kind in kernels:
        out = kernels[node.kind](node, args)
    elif _is_integer(node) and node.kind in INTEGER_KERNELS:
        out = INTEGER_KERNELS[node.kind](node, args)
    elif node.kind in FLOAT_KERNELS:
        out = _run_float(node, args)
    else:
        raise _unknown(node)
    if out.shape != node.output.shape:
        raise SoftdpuError(f"op '{node.key}' gave shape {list(out.shape)}, its tensor says {list(node.output.shape)}")
    return out


def check_kinds(program: Program, kernels: Mapping[str, Kernel] | None = None) -> None:
    """Raise SoftdpuError for the first op of a type that neither the runtime nor the user's `kernels` know."""
    for node in program.nodes:
        if node.kind in (kernels or {}):
            continue
        if node.kind not in FLOAT_KERNELS and not (_is_integer(node) and node.kind in INTEGER_KERNELS):
            raise _unknown(node)


def _unknown(node: Node) -> SoftdpuError:
    return SoftdpuError(
        f"op '{node.key}' has the type '{node.kind}', which the runtime does not know: pass "
        f"kernels={{'{node.kind}': function}} to evaluate_graph or GraphRunner.create_graph_runner"
    )


def _is_integer(node: Node) -> bool:
    if node.kind == "fix2float":
        return True
    return bool(node.inputs) and node.input.dtype.kind in "iu" and node.output.dtype.kind in "iu"


def _run_float(node: Node, args: Args) -> np.ndarray:
    """Run a float kernel; integers at its borders are taken as the real numbers that they stand for."""
    real = {
        name: [_dequantize(x, value) for x, value in zip(arrays, node.inputs[name])] for name, arrays in args.items()
    }
    out = np.asarray(FLOAT_KERNELS[node.kind](node, real))
    if node.kind in _BORDERS or node.output.fix_point is None or node.output.dtype != np.int8:
        return out
    return fixed_point.quantize(out, node.output.position, fixed_point.HALF_UP)


def _dequantize(x: np.ndarray, value: Value) -> np.ndarray:
    if x.dtype == np.int8 and value.fix_point is not None:
        return fixed_point.dequantize(x, value.fix_point)
    return x


def _cast_as_declared(x: np.ndarray, value: Value) -> np.ndarray:
    return np.ascontiguousarray(x.astype(value.dtype, copy=False))


def _last_uses(program: Program) -> dict[int, list[str]]:
    """Return by node index the values that nothing needs afterwards."""
    kept = {value.key for value in program.outputs} | set(program.constants)
    last = {value.key: index for index, node in enumerate(program.nodes) for value in node.all_inputs()}
    uses: dict[int, list[str]] = {}
    for key, index in last.items():
        if key not in kept:
            uses.setdefault(index, []).append(key)
    return uses


import_modules(__name__)
import_extensions("reference")
