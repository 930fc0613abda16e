"""Operators of the user's own in Python, where AMD's graph runner looks for them.

An op of a type that nobody knows, T, is computed by the class T of the module vart_op_imp/T.py, which is made with the
xir op, once per op, and whose method `calculate(output, input)` gets TensorBuffers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from softdpu.runtime.reference.registry import FLOAT_KERNELS, INTEGER_KERNELS
from vart import TensorBuffer, VartError
from xir import Graph, Op

FOLDER = "vart_op_imp"


def find_python_ops(graph: Graph, given: Collection[str]) -> dict[str, Callable[[Any, Any], np.ndarray]]:
    """Return kernels by op type for those types of a graph that have a module in vart_op_imp.

    Args:
        graph: a compiled graph.
        given: types that have a kernel already.

    Raises:
        VartError: a module that has no class of the type's name, or that cannot be imported.
    """
    known = {*FLOAT_KERNELS, *INTEGER_KERNELS, "const", "const-fix", "data", "data-fix", "placeholder", *given}
    found: dict[str, list[Op]] = {}
    for op in graph.get_ops():
        if op.get_type() not in known:
            found.setdefault(op.get_type(), []).append(op)
    kernels = {}
    for kind, ops in found.items():
        made = _class_of(kind)
        if made is not None:
            kernels[kind] = _kernel({op.get_name(): (op.get_output_tensor(), made(op)) for op in ops}, ops)
    return kernels


def _class_of(kind: str) -> Any:
    """Return the class that computes a type of op, None where there is no module of that name."""
    name = f"{FOLDER}.{kind}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name in (FOLDER, name):
            return None
        raise VartError(f"{name} cannot be imported: {error}") from None
    except (ImportError, SyntaxError) as error:
        raise VartError(f"{name} cannot be imported: {error}") from None
    if not hasattr(module, kind):
        raise VartError(f"{module.__file__}: expected a class '{kind}' with a method calculate(output, input)")
    return getattr(module, kind)


def _kernel(instances: dict[str, tuple[Any, Any]], ops: list[Op]) -> Callable[[Any, Any], np.ndarray]:
    sources = {op.get_name(): op.get_input_ops() for op in ops}

    def kernel(node: Any, args: dict[str, list[np.ndarray]]) -> np.ndarray:
        tensor, instance = instances[node.key]
        output = TensorBuffer(tensor)
        given = {
            name: [_filled(op.get_output_tensor(), array) for op, array in zip(sources[node.key][name], arrays)]
            for name, arrays in args.items()
        }
        instance.calculate(output=output, **given)
        return np.asarray(output)

    return kernel


def _filled(tensor: Any, array: np.ndarray) -> TensorBuffer:
    buffer = TensorBuffer(tensor)
    np.asarray(buffer)[...] = array
    return buffer
