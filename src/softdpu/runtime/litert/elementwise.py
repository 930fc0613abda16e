"""Sums, products and functions of one number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert.schema_py_generated import TensorType

from softdpu.numbers.fixed_point import HALF_UP, HARD_SIGMOID_SHIFT, LEAKY_RELU_ALPHA, quantize
from softdpu.runtime.litert.curve import NUMBERS, Curve, emit_curve, hard_sigmoid_curve
from softdpu.runtime.litert.lowering import Lowering, NotExactError, lowering
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.rounding import (
    RELU,
    binary,
    dequantize,
    relu6_limit,
    round_half_up,
    store_scaled,
    store_whole,
)
from softdpu.runtime.program import Node, Value
from softdpu.runtime.reference import run_node
from softdpu.runtime.reference.activation import UNUSED, fused_hard, slopes_of

_ADD_RATIOS = range(-8, 11)  # input position - output position for which LiteRT's addition is exact


@lowering("eltwise-fix", "depthwise-fix", "add", "mul")
def eltwise(model: Lowering, node: Node) -> None:
    """ADD of int8 where that is exact, else sums and products in float32, which holds them exactly."""
    default = {"add": "ADD", "mul": "MUL", "depthwise-fix": "MUL"}.get(node.kind, "ADD")
    kind = node.attrs.get("type", default)
    values = node.inputs["input"]
    activation = node.attrs.get("nonlinear") or "NONE"
    if activation in ("HSIGMOID", "HSWISH"):
        raise NotExactError(f"nonlinear {activation}")
    if len(values) == 1:
        table_of(model, node)
    elif kind == "ADD" and len(values) == 2 and _is_exact_sum(values, node) and activation in ("NONE", "RELU"):
        _add(model, node, activation)
    else:
        _fold(model, node, kind)


def _is_exact_sum(values: tuple[Value, ...], node: Node) -> bool:
    return all(value.position - node.output.position in _ADD_RATIOS for value in values) and _spread(values) <= 12


def _spread(values: tuple[Value, ...]) -> int:
    positions = [value.position for value in values]
    return max(positions) - min(positions)


def _add(model: Lowering, node: Node, activation: str) -> None:
    """ADD of int8. The zero points of inputs carry over to the output where they fit there."""
    held = [model.get(value) for value in node.inputs["input"]]
    steps = [value.position - node.output.position for value in node.inputs["input"]]
    zero = sum(np.ldexp(h.zero, -step) for h, step in zip(held, steps, strict=True))
    carries = activation == "NONE" and zero == np.floor(zero) and -128 <= zero <= 0
    if carries:
        indices = [h.index for h in held]
    else:
        zero, indices = 0, [model.plain(value) for value in node.inputs["input"]]
    positive = activation == "RELU" or all(h.positive for h in held)
    output = model.int8(node.output, int(zero))
    model.add(indices, output, RELU if activation == "RELU" else 0)
    model.put(node, output, int(zero), positive)


def _fold(model: Lowering, node: Node, kind: str) -> None:
    values, shape = node.inputs["input"], node.output.shape
    if kind == "ADD" and _spread(values) + len(values) > 10:
        raise NotExactError(f"sum of positions {[value.position for value in values]}")
    if kind == "MUL" and len(values) > 2:
        raise NotExactError(f"product of {len(values)} inputs")
    code = Operator.ADD if kind == "ADD" else Operator.MUL
    total = dequantize(model, values[0])
    for index, value in enumerate(values[1:], 2):
        broadcast = np.broadcast_shapes(*(v.shape for v in values[:index]))
        total = binary(model, code, total, dequantize(model, value), broadcast)
    if broadcast != shape:
        raise NotExactError(f"shape {shape} of inputs that broadcast to {broadcast}")
    round_half_up(model, node, total)


@lowering("prelu", "prelu-fix")
def prelu(model: Lowering, node: Node) -> None:
    """max(x, 0) + weight * min(x, 0), products of two int8 numbers, exact in float32."""
    weight, shape = slopes_of(node), node.output.shape
    model.constant(weight)
    x = dequantize(model, node.input)
    zero = model.numbers(0.0, rank=len(shape))
    above = binary(model, Operator.MAXIMUM, x, zero, shape)
    below = binary(model, Operator.MINIMUM, x, zero, shape)
    bent = binary(model, Operator.MUL, below, dequantize(model, weight), shape)
    round_half_up(model, node, binary(model, Operator.ADD, above, bent, shape))


@lowering("relu", "relu-fix", "relu6", "relu6-fix", "leaky-relu", "leaky-relu-fix", "hard-sigmoid-fix", "hard-sigmoid")
@lowering("sigmoid", "tanh", "swish", "hard-swish", "elu", "gelu", "mish", "selu", "exp", "neg", "hard-tanh")
def table_of(model: Lowering, node: Node) -> None:
    """A function of one int8 number: the reference's answer for all 256 of them, found again in the cheapest way."""
    if node.output.dtype != np.int8:
        raise NotExactError(f"output {node.output.dtype}")
    store_table(model, node, node.input, reference_table(node), _curve(node))


def reference_table(node: Node) -> np.ndarray:
    """Return what the reference gives for -128..127: int8[256]."""
    source = replace(node.input, shape=(256,))
    one = replace(node, inputs={"input": (source,)}, output=replace(node.output, shape=(256,)))
    return run_node(one, {source.key: NUMBERS})


def _curve(node: Node) -> Curve:
    """Return the curve that an op looks like; whether it is exact is tried, not argued."""
    position = node.output.position
    if node.kind in ("hard-sigmoid-fix", "hard-sigmoid"):
        cut = int(node.attrs.get("shift_hsigmoid", HARD_SIGMOID_SHIFT + node.input.position - position))
        entry = int(node.attrs.get("hsigmoid_in", node.input.position))
        return hard_sigmoid_curve(node.input.position, entry, cut)
    kind = node.attrs.get("nonlinear") or node.kind.removesuffix("-fix").upper().replace("-", "")
    slope = float(node.attrs.get("alpha", LEAKY_RELU_ALPHA)) if kind == "LEAKYRELU" else None
    limit = relu6_limit(position) if kind == "RELU6" else None
    return Curve(2.0**position, 0.5, slope, kind in ("RELU", "RELU6"), limit)


def store_hard(model: Lowering, node: Node, value: Value) -> None:
    """Store HSIGMOID or HSWISH of an int8 value as the op's output."""
    kind = str(node.attrs["nonlinear"])
    entry, cut = int(node.attr("hsigmoid_in")), int(node.attr("shift_hsigmoid"))
    gate = hard_sigmoid_curve(entry, entry, cut)
    if kind == "HSIGMOID":
        store_table(model, node, value, fused_hard(NUMBERS, kind, node), gate)
        return
    middle = HARD_SIGMOID_SHIFT + entry - cut
    x = dequantize(model, value)
    shape = node.output.shape
    opened = emit_curve(model, x, replace(gate, limit=127), shape)
    product = binary(model, Operator.MUL, x, opened, shape)
    shift = int(node.attrs.get("shift_hswish", UNUSED))
    target = node.output.position if shift == UNUSED else entry + middle - shift
    store_scaled(model, node, product, 2.0 ** (target - middle))


def store_table(model: Lowering, node: Node, value: Value, table: np.ndarray, curve: Curve | None = None) -> None:
    """Lower a table as nothing, as an ADD of zero, as a curve in float32, or as a look-up."""
    positive = bool(table.min() >= 0)
    step = value.position - node.output.position
    if step == 0 and (table == NUMBERS).all():
        model.alias(node, value)
        return
    if step in _ADD_RATIOS:
        shifted = quantize(NUMBERS, -step, HALF_UP)
        for activation, expected in ((0, shifted), (RELU, np.maximum(shifted, 0))):
            if (table == expected).all():
                output = model.int8(node.output)
                model.add([model.plain(value), _zero(model, value)], output, activation)
                model.put(node, output, 0, positive)
                return
    if curve is not None and (curve.of(NUMBERS, value.position) == table).all():
        whole = emit_curve(model, dequantize(model, value), curve, node.output.shape)
        store_whole(model, node, whole, positive)
        return
    _look_up(model, node, value, table, positive)


def _zero(model: Lowering, value: Value) -> int:
    return model.builder.constant(np.zeros((1,) * len(value.shape), np.int8), 2.0**-value.position)


def _look_up(model: Lowering, node: Node, value: Value, table: np.ndarray, positive: bool) -> None:
    """GATHER from the table at q + 128; thirty times slower than a curve."""
    held, shape = model.get(value), value.shape
    wide = model.builder.tensor(shape, np.int32)
    options = option("Cast", inDataType=TensorType.INT8, outDataType=TensorType.INT32)
    model.builder.operator(Operator.CAST, [held.index], [wide], options)
    raised = model.builder.tensor(shape, np.int32)
    model.add([wide, model.ints([128])], raised)
    source = model.builder.constant(table, 2.0**-node.output.position)
    output = model.int8(node.output)
    model.builder.operator(Operator.GATHER, [source, raised], [output], option("Gather", axis=0, batchDims=0))
    model.put(node, output, 0, positive)
