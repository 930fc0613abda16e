"""The float lane: real numbers in float32, exact by construction, and the DPU's rounding of them by FLOOR."""

from __future__ import annotations

import numpy as np

from softdpu.numbers.fixed_point import HALF_UP, round_real
from softdpu.runtime.litert.lowering import Lowering, NotExactError
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.program import Node, Value

EXACT = 2**24  # float32 holds every integer up to here
NONE, RELU = 0, 1


def dequantize(model: Lowering, value: Value) -> int:
    """Return the real numbers of an int8 value as a float32 tensor."""
    index = model.float32(value.shape)
    model.builder.operator(Operator.DEQUANTIZE, [model.plain(value)], [index])
    return index


def binary(model: Lowering, code: int, left: int, right: int, shape: tuple[int, ...], activation: int = NONE) -> int:
    """Add MUL, ADD, MINIMUM or MAXIMUM of float32 tensors and return its output."""
    index = model.float32(shape)
    names = {Operator.MUL: "Mul", Operator.ADD: "Add"}
    options = option(names[code], fusedActivationFunction=activation) if code in names else None
    model.builder.operator(code, [left, right], [index], options)
    return index


def unary(model: Lowering, code: int, source: int, shape: tuple[int, ...], options: object = None) -> int:
    """Add an operator of one float32 tensor and return its output."""
    index = model.float32(shape)
    model.builder.operator(code, [source], [index], options)
    return index


def round_half_up(model: Lowering, node: Node, source: int) -> None:
    """Finish an op: its activation, then floor(x * 2**position + 0.5), saturated, of real numbers in float32.

    The caller vouches that x has at most 24 significant bits where the result is not saturated.
    """
    kind = node.attrs.get("nonlinear") or "NONE"
    if kind == "LEAKYRELU":
        source = unary(model, Operator.LEAKY_RELU, source, node.output.shape, option("LeakyRelu", alpha=26 / 256))
    elif kind not in ("NONE", "RELU", "RELU6"):
        raise NotExactError(f"nonlinear {kind}")
    limit = relu6_limit(node.output.position) if kind == "RELU6" else None
    store_scaled(model, node, source, 2.0**node.output.position, limit, kind in ("RELU", "RELU6"))


def store_scaled(
    model: Lowering, node: Node, x: int, scale: float, limit: int | None = None, positive: bool = False
) -> None:
    """Store floor(x * scale + 0.5) of a float32 tensor as the op's int8 output, as floor_and_store does."""
    shape, rank = node.output.shape, len(node.output.shape)
    steps = binary(model, Operator.MUL, x, model.numbers(scale, rank=rank), shape)
    raised = binary(model, Operator.ADD, steps, model.numbers(0.5, rank=rank), shape, RELU if positive else NONE)
    floor_and_store(model, node, raised, limit, positive)


def floor_and_store(model: Lowering, node: Node, source: int, limit: int | None = None, positive: bool = False) -> None:
    """Store floor(source), in output steps, as the op's int8 output; `limit` is an upper bound in output steps."""
    shape, rank = node.output.shape, len(node.output.shape)
    whole = unary(model, Operator.FLOOR, source, shape)
    if limit is not None and limit < 127:
        whole = binary(model, Operator.MINIMUM, whole, model.numbers(float(limit), rank=rank), shape)
    store_whole(model, node, whole, positive)


def store_whole(model: Lowering, node: Node, whole: int, positive: bool) -> None:
    """Store whole numbers of output steps as the op's int8 output, saturated."""
    shape, position = node.output.shape, node.output.position
    if position:
        whole = binary(model, Operator.MUL, whole, model.numbers(2.0**-position, rank=len(shape)), shape)
    output = model.int8(node.output)
    model.builder.operator(Operator.QUANTIZE, [whole], [output])
    model.put(node, output, positive=positive)


def relu6_limit(position: int) -> int:
    """Return 6 in steps of a position, rounded half up: the clamp after rounding that equals RELU6 before it."""
    return int(round_real(np.ldexp(6.0, position), HALF_UP))
