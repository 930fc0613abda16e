"""The activations of the DPU: exact on Dyadic numbers, before the one rounding."""

from __future__ import annotations

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node, Value
from softdpu.runtime.reference.dyadic import Dyadic, constant, from_int8
from softdpu.runtime.reference.registry import Args, integer_kernel

LEAKY_SLOPE = Dyadic(np.asarray(round(fixed_point.LEAKY_RELU_ALPHA * 256), np.int64), 8)
UNUSED = -128  # how an .xmodel writes a shift that an op does not use


def activate(x: Dyadic, node: Node) -> np.ndarray:
    """Apply the op's attribute `nonlinear`, then round half up to the output's position and saturate: int8[...].

    HSIGMOID and HSWISH first round to the position hsigmoid_in, as the DPU does.

    Raises:
        SoftdpuError: for an activation that the DPU's fused ops have not.
    """
    kind = node.attrs.get("nonlinear") or "NONE"
    position = node.output.position
    if kind in ("HSIGMOID", "HSWISH"):
        return fused_hard(x.to_int8(int(node.attr("hsigmoid_in"))), kind, node)
    if kind not in NONLINEAR:
        known = ", ".join((*NONLINEAR, "HSIGMOID", "HSWISH"))
        raise SoftdpuError(f"op '{node.key}' has nonlinear {kind}; the runtime has {known}")
    return NONLINEAR[kind](x).to_int8(position)


NONLINEAR = {
    "NONE": lambda x: x,
    "RELU": lambda x: x.maximum(0),
    "RELU6": lambda x: x.maximum(0).minimum(6),
    "LEAKYRELU": lambda x: x.where_negative(LEAKY_SLOPE),
}


def hard_sigmoid(x: Dyadic) -> Dyadic:
    """Return max(0, x + 3) * 2731 / 2**14, the DPU's sigmoid; the int8 output's saturation is its upper end."""
    scale = constant(fixed_point.HARD_SIGMOID_SCALE, fixed_point.HARD_SIGMOID_SHIFT)
    return ((x + constant(3)) * scale).maximum(0)


def fused_hard(q: np.ndarray, kind: str, node: Node) -> np.ndarray:
    """Return HSIGMOID or HSWISH of an int8 tensor at position hsigmoid_in.

    shift_hsigmoid takes the sigmoid to its own position 14 + hsigmoid_in - shift_hsigmoid; shift_hswish takes the
    product with the input to the output's.
    """
    hsigmoid_in = int(node.attr("hsigmoid_in"))
    middle = fixed_point.HARD_SIGMOID_SHIFT + hsigmoid_in - int(node.attr("shift_hsigmoid"))
    x = from_int8(q, hsigmoid_in)
    sigmoid = hard_sigmoid(x).to_int8(middle)
    if kind == "HSIGMOID":
        return sigmoid
    shift = int(node.attrs.get("shift_hswish", UNUSED))
    position = node.output.position if shift == UNUSED else hsigmoid_in + middle - shift
    return (x * from_int8(sigmoid, middle)).to_int8(position)


@integer_kernel("hard-sigmoid-fix")
def hard_sigmoid_fix(node: Node, args: Args) -> np.ndarray:
    """round(max(0, q * 2731 + 3 * 2731 * 2**hsigmoid_in) / 2**shift_hsigmoid), saturated."""
    entry = int(node.attrs.get("hsigmoid_in", node.input.position))
    cut = node.attrs.get("shift_hsigmoid")
    end = fixed_point.HARD_SIGMOID_SHIFT + entry - int(cut) if cut is not None else node.output.position
    return hard_sigmoid(from_int8(args["input"][0], entry)).to_int8(end)


@integer_kernel("relu-fix", "relu")
def relu_fix(node: Node, args: Args) -> np.ndarray:
    """max(x, 0)."""
    return NONLINEAR["RELU"](from_int8(args["input"][0], node.input.position)).to_int8(node.output.position)


@integer_kernel("relu6-fix", "relu6")
def relu6_fix(node: Node, args: Args) -> np.ndarray:
    """min(max(x, 0), 6)."""
    return NONLINEAR["RELU6"](from_int8(args["input"][0], node.input.position)).to_int8(node.output.position)


@integer_kernel("leaky-relu-fix", "leaky-relu")
def leaky_relu_fix(node: Node, args: Args) -> np.ndarray:
    """Where x < 0, x * alpha, which is 26/256 on the DPU; other slopes are taken at 16 binary digits."""
    alpha = float(node.attrs.get("alpha", fixed_point.LEAKY_RELU_ALPHA))
    slope = constant(round(alpha * 2**16), 16)
    x = from_int8(args["input"][0], node.input.position)
    return x.where_negative(slope).to_int8(node.output.position)


def slopes_of(node: Node) -> Value:
    """Return what a PReLU multiplies negative numbers by: its argument `weight`, or its second input."""
    return node.inputs["weight"][0] if "weight" in node.inputs else node.inputs["input"][1]


@integer_kernel("prelu-fix", "prelu")
def prelu_fix(node: Node, args: Args) -> np.ndarray:
    """Where x < 0, x * weight; the weight, int8 with a position, broadcasts against x. It may be the second input."""
    value, numbers = slopes_of(node), args["weight"][0] if "weight" in args else args["input"][1]
    weight = from_int8(numbers, value.position)
    x = from_int8(args["input"][0], node.input.position)
    return x.where_negative(weight).to_int8(node.output.position)
