"""Functions of one real number, soft max, and the borders between integers and floats."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node
from softdpu.runtime.reference.registry import FLOAT_KERNELS, Args, Kernel, float_kernel, integer_kernel

ROUND_MODES = {
    "DPU_ROUND": fixed_point.HALF_UP,
    "PY3_ROUND": fixed_point.HALF_TO_EVEN,
    "STD_ROUND": fixed_point.HALF_AWAY_FROM_ZERO,
}


@float_kernel("fix")
def fix(node: Node, args: Args) -> np.ndarray:
    """Round to the grid of a position and saturate; the numbers stay real, and are float32's again."""
    low, high, mode = _format(node)
    position = int(node.attr("fix_point"))
    return fixed_point.fake_quantize(_snap(args["input"][0], node), position, mode, low, high).astype(np.float32)


@float_kernel("float2fix")
def float2fix(node: Node, args: Args) -> np.ndarray:
    """Round to integers of a position, saturated, in the output's data type."""
    low, high, mode = _format(node)
    scaled = np.ldexp(_snap(args["input"][0], node), int(node.attr("fix_point")))
    return np.clip(fixed_point.round_real(scaled, mode), low, high).astype(node.output.dtype)


@integer_kernel("fix2float")
def fix2float(node: Node, args: Args) -> np.ndarray:
    """The real numbers of integers."""
    position = int(node.attrs.get("fix_point", node.input.fix_point or 0))
    return fixed_point.dequantize(args["input"][0], position)


def _format(node: Node) -> tuple[int, int, int]:
    """Return the smallest and the largest integer and the round mode of a fix op."""
    mode = str(node.attrs.get("round_mode", "DPU_ROUND"))
    if mode not in ROUND_MODES:
        raise SoftdpuError(f"op '{node.key}' has round_mode {mode}; the runtime has {', '.join(ROUND_MODES)}")
    low, high = fixed_point.integer_range(int(node.attrs.get("bit_width", 8)), not node.attrs.get("if_signed", True))
    return low, high, ROUND_MODES[mode]


def _snap(x: np.ndarray, node: Node) -> np.ndarray:
    """Remove float64's own noise: numbers within 2**-30 steps of the grid's fractions become them.

    A mean in an uncompiled graph is sum / count * (count * n / 2**m): in float64 a tie of the exact product can come
    out a hair below itself. No float32 number is changed in a way that rounding could see.
    """
    if x.dtype != np.float64:
        return x
    fine = int(node.attr("fix_point")) + 30
    return np.ldexp(np.rint(np.ldexp(x, fine)), -fine)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[x.dtype])(x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": _sigmoid,
    "swish": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "gelu": _gelu,
    "mish": lambda x: x * np.tanh(_softplus(x)),
    "exp": np.exp,
    "neg": np.negative,
    "sqrt": np.sqrt,
    "hard-sigmoid": lambda x: np.clip(x + 3.0, 0, 6, dtype=np.float64) / 6,
    "hard-swish": lambda x: x * np.clip(x + 3.0, 0, 6, dtype=np.float64) / 6,
    "hard-tanh": lambda x: np.clip(x, -1, 1),
    "identity": lambda x: x,
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
}


def _elementwise(function: Callable[[Any], Any]) -> Kernel:
    def kernel(node: Node, args: Args) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray(function(args["input"][0]))

    return kernel


for _kind, _function in _FUNCTIONS.items():
    FLOAT_KERNELS[_kind] = _elementwise(_function)


@float_kernel("elu")
def elu(node: Node, args: Args) -> np.ndarray:
    """x, or alpha * (exp(x) - 1) where x < 0."""
    x = args["input"][0]
    return np.where(x > 0, x, float(node.attrs.get("alpha", 1.0)) * np.expm1(np.minimum(x, 0)))


@float_kernel("leaky-relu")
def leaky_relu(node: Node, args: Args) -> np.ndarray:
    """x, or x * alpha rounded to float32 where x < 0, as TensorFlow computes it."""
    x = args["input"][0].astype(np.float32)
    return np.where(x > 0, x, x * np.float32(node.attr("alpha")))


@float_kernel("prelu")
def prelu(node: Node, args: Args) -> np.ndarray:
    """x, or x * weight where x < 0; the weight broadcasts against x."""
    x = args["input"][0]
    return np.where(x > 0, x, x * args["weight"][0])


@float_kernel("softmax")
def softmax(node: Node, args: Args) -> np.ndarray:
    """exp(x) / sum(exp(x)) along `axis`, in float32; the largest number is taken off first, against overflow."""
    x = args["input"][0].astype(np.float32)
    axis = int(node.attrs.get("axis", -1))
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


@float_kernel("cast")
def cast(node: Node, args: Args) -> np.ndarray:
    """The numbers in the output's data type."""
    return args["input"][0].astype(node.output.dtype)
