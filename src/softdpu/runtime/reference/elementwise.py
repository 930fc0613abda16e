"""Element-wise sums and products of integers, and arithmetic in float."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.runtime.program import Node
from softdpu.runtime.reference.activation import activate
from softdpu.runtime.reference.dyadic import Dyadic, from_int8
from softdpu.runtime.reference.registry import FLOAT_KERNELS, Args, Kernel, float_kernel, integer_kernel


@integer_kernel("eltwise-fix", "depthwise-fix", "add", "mul")
def eltwise_fix(node: Node, args: Args) -> np.ndarray:
    """Sum or product of all inputs, which broadcast, then the activation and one rounding."""
    kind = _kind(node)
    terms = [from_int8(q, value.position) for q, value in zip(args["input"], node.inputs["input"])]
    total: Dyadic = functools.reduce(lambda a, b: a + b if kind == "ADD" else a * b, terms)
    return activate(total, node)


def _kind(node: Node) -> str:
    default = {"add": "ADD", "mul": "MUL", "depthwise-fix": "MUL"}.get(node.kind, "ADD")
    kind = str(node.attrs.get("type", default))
    if kind not in ("ADD", "MUL"):
        raise SoftdpuError(f"op '{node.key}' has the type {kind}; the runtime has ADD and MUL")
    return kind


def _fold(function: Callable[[Any, Any], Any]) -> Kernel:
    """Return arithmetic as TensorFlow does it, each step rounded to float32; float64 stays float64.

    What is float64 here is exact, or nearly so, and must stay it until a fix op rounds: means, convolutions.
    """

    def kernel(node: Node, args: Args) -> np.ndarray:
        return np.asarray(functools.reduce(function, args["input"]))

    return kernel


FLOAT_KERNELS.update(
    {
        "add": _fold(np.add),
        "sub": _fold(np.subtract),
        "mul": _fold(np.multiply),
        "div": _fold(np.divide),
        "min": _fold(np.minimum),
        "max": _fold(np.maximum),
    }
)


@float_kernel("scale")
def scale(node: Node, args: Args) -> np.ndarray:
    """x * scale + bias, along the last axis."""
    out = args["input"][0] * args["scale"][0]
    return out + args["bias"][0] if args.get("bias") else out


@float_kernel("batchnorm")
def batchnorm(node: Node, args: Args) -> np.ndarray:
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, along the last axis."""
    x, gamma, beta, mean, variance = (
        args[name][0].astype(np.float64) for name in ("input", "gamma", "beta", "moving_mean", "moving_var")
    )
    return gamma * (x - mean) / np.sqrt(variance + float(node.attr("epsilon"))) + beta


@float_kernel("l2_normalize")
def l2_normalize(node: Node, args: Args) -> np.ndarray:
    """x / sqrt(max(sum(x**2), epsilon)) along the attribute `axis`."""
    x = args["input"][0].astype(np.float64)
    axis = tuple(node.attrs.get("axis") or (-1,))
    norm = np.sum(x * x, axis=axis, keepdims=True)
    return x / np.sqrt(np.maximum(norm, float(node.attrs.get("epsilon", 1e-12))))


@float_kernel("matmul")
def matmul(node: Node, args: Args) -> np.ndarray:
    """The product of two matrices, either transposed on request, plus a bias."""
    left, right = (x.astype(np.float64) for x in args["input"])
    left = np.swapaxes(left, -1, -2) if node.attrs.get("transpose_a") else left
    right = np.swapaxes(right, -1, -2) if node.attrs.get("transpose_b") else right
    out = left @ right
    return out + args["bias"][0] if args.get("bias") else out


@float_kernel("inner-product")
def inner_product(node: Node, args: Args) -> np.ndarray:
    """The input from `axis` on, flattened, times weights [out, in]."""
    x, weights = args["input"][0], args["weights"][0]
    axis = int(node.attrs.get("axis", 1))
    rows = x.reshape(*x.shape[:axis], -1).astype(np.float64)
    out = rows @ weights.reshape(weights.shape[0], -1).T.astype(np.float64)
    return out + args["bias"][0] if args.get("bias") else out
