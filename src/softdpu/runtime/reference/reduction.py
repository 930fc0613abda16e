"""Reductions over axes, and arg max."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.runtime.program import Node
from softdpu.runtime.reference.dyadic import from_int8
from softdpu.runtime.reference.movement import move_to_output
from softdpu.runtime.reference.registry import FLOAT_KERNELS, Args, Kernel, any_kernel, integer_kernel


def axes(node: Node) -> tuple[int, ...]:
    """Return the attribute `axis`, a number or a list of them."""
    axis = node.attr("axis")
    return tuple(int(a) for a in axis) if isinstance(axis, (list, tuple)) else (int(axis),)


def _keep(node: Node) -> bool:
    return bool(node.attrs.get("keep_dims", False))


@integer_kernel("reduction_max-fix", "reduction_max")
def reduction_max_fix(node: Node, args: Args) -> np.ndarray:
    """The largest number."""
    return move_to_output(args["input"][0].max(axis=axes(node), keepdims=_keep(node)), node.input, node)


@integer_kernel("reduction_sum", "reduction_sum-fix")
def reduction_sum_fix(node: Node, args: Args) -> np.ndarray:
    """The sum, rounded half up."""
    x = from_int8(args["input"][0], node.input.position)
    sums = type(x)(x.numerator.sum(axis=axes(node), keepdims=_keep(node)), x.shift)
    return sums.to_int8(node.output.position)


def _reduction(function: Callable[..., Any]) -> Kernel:
    def kernel(node: Node, args: Args) -> np.ndarray:
        x = args["input"][0].astype(np.float64)
        return np.asarray(function(x, axis=axes(node), keepdims=_keep(node)))

    return kernel


FLOAT_KERNELS.update(
    {
        "reduction_mean": _reduction(np.mean),
        "reduction_sum": _reduction(np.sum),
        "reduction_max": _reduction(np.max),
        "reduction_product": _reduction(np.prod),
    }
)


@any_kernel("argmax", "argmax-fix")
def argmax(node: Node, args: Args) -> np.ndarray:
    """Where the largest number stands first along `axis`, in the output's shape and data type."""
    index = args["input"][0].argmax(axis=axes(node)[0])
    return index.reshape(node.output.shape).astype(node.output.dtype)
