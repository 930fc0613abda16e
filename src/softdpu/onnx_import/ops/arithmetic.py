"""Arithmetic on numbers one by one: with constants, between tensors, and functions of one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.normalization import scale_and_shift
from softdpu.onnx_import.ops.shared import align, same
from softdpu.onnx_import.registry import BOTH, CPU, FLOAT, NOWHERE, Refused, operation
from softdpu.onnx_import.value import NHWC, Value, image_order

_LAYERS = {
    "Add": "Add",
    "Sum": "Add",
    "Sub": "Subtract",
    "Mul": "Multiply",
    "Max": "Maximum",
    "Min": "Minimum",
    "Mean": "Average",
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Add": tf.math.add,
    "Sum": tf.math.add,
    "Sub": tf.math.subtract,
    "Mul": tf.math.multiply,
    "Div": tf.math.truediv,
    "Pow": tf.math.pow,
    "Max": tf.math.maximum,
    "Min": tf.math.minimum,
}
_EITHER_WAY = ("Add", "Sum", "Mul", "Max", "Min")
_MOST_POWER = 8  # that is written as a product


@operation("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", runs=BOTH)
def binary(build: Lowering, node: Node) -> Value:
    """A layer for tensors, scaling for constants that are one number or one per channel."""
    if len(node.inputs) == 1:
        return build.value(node, 0)
    constants = [build.constant(node, index) for index in range(len(node.inputs))]
    if len(node.inputs) == 2 and any(constant is not None for constant in constants):
        first = constants[0] is not None
        constant = constants[0] if first else constants[1]
        assert constant is not None
        return _combine_with_constant(build, node, 1 if first else 0, np.asarray(constant, np.float32), first)
    if any(constant is not None for constant in constants):
        raise Refused("adds constants and more than one tensor")
    return _combine_tensors(build, node, [build.value(node, index) for index in range(len(node.inputs))])


@operation("Mean", runs=CPU)
def mean(build: Lowering, node: Node) -> Value:
    """Average."""
    return _combine_tensors(build, node, [build.value(node, index) for index in range(len(node.inputs))])


def _combine_with_constant(build: Lowering, node: Node, index: int, constant: np.ndarray, first: bool) -> Value:
    """Return constant op value if the constant is `first`, else value op constant."""
    value = build.value(node, index)
    if constant.ndim > value.rank and constant.size > 1 and constant.shape[0] != 1:
        raise Refused(f"makes {constant.ndim} dimensions of {value.rank} by a constant")
    if value.mixed is None and value.rank == 4:
        value = build.reorder(value, value.order if value.order[0] == 0 else NHWC, "nhwc", node)
    numbers = align(value, constant)
    factors = _scale_and_offset(node.op, numbers, first)
    by_channel = numbers.size in (1, numbers.shape[-1]) and numbers.shape[-1] in (1, value.keras_shape[-1])
    if factors is not None and by_channel and value.rank in (2, 4) and _is_channels(value, numbers):
        scale, offset = (number.reshape(-1) for number in factors)
        return scale_and_shift(build, node, node.inputs[index], value, scale, offset)
    if node.op == "Max" and numbers.size == 1 and float(numbers.reshape(-1)[0]) == 0:
        return same(value, build.layer(node, "ReLU", value.tensor), True)
    tensor = _compute(build, node, value.tensor, numbers, first)
    shape = tuple(np.broadcast_shapes(value.keras_shape, numbers.shape))
    onnx_shape = [0] * value.rank
    for place, axis in enumerate(value.order):
        onnx_shape[axis] = int(shape[place])
    return dataclasses.replace(value, tensor=tensor, shape=tuple(onnx_shape), not_negative=False)


def _compute(build: Lowering, node: Node, tensor: Any, numbers: np.ndarray, first: bool) -> Any:
    """Return the operation on a tensor and constants; Keras stores an array of them as the second operand alone."""
    if numbers.size == 1:
        one = float(numbers.reshape(-1)[0])
        return build.function(node, _FUNCTIONS[node.op], *((one, tensor) if first else (tensor, one)))
    if not first or node.op in _EITHER_WAY:
        return build.function(node, _FUNCTIONS[node.op], tensor, numbers)
    if node.op == "Sub":
        return build.function(node, tf.math.add, build.function(node, tf.math.negative, tensor, suffix="less"), numbers)
    if node.op == "Div":
        parts = build.function(node, tf.math.truediv, 1.0, tensor, suffix="part")
        return build.function(node, tf.math.multiply, parts, numbers)
    raise Refused("has powers of constants")


def _is_channels(value: Value, numbers: np.ndarray) -> bool:
    """Tell whether a constant belongs to the channels: one number does anywhere."""
    return numbers.size == 1 or value.rank == 2 or value.order[-1] == 1 or value.order == (0, 1, 2, 3)


def _scale_and_offset(op: str, numbers: np.ndarray, first: bool) -> tuple[np.ndarray, np.ndarray] | None:
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    if op in ("Add", "Sum"):
        return one, numbers
    if op == "Sub":
        return (-one, numbers) if first else (one, -numbers)
    if op == "Mul":
        return numbers, zero
    if op == "Div" and not first and np.all(numbers != 0):
        return one / numbers, zero
    return None


def _combine_tensors(build: Lowering, node: Node, values: list[Value]) -> Value:
    if any(value.mixed is not None for value in values) or len({value.rank for value in values}) > 1:
        ranks = ", ".join(str(value.rank) for value in values)
        raise Refused(f"has inputs of {ranks} dimensions, laid out in different ways")
    largest = max(values, key=lambda value: int(np.prod(value.shape)))
    order = largest.order if any(value.order == largest.order for value in values) else image_order(largest.rank)
    values = [build.reorder(value, order, f"order{index}", node) for index, value in enumerate(values)]
    tensors = [value.tensor for value in values]
    if node.op == "Div":
        tensor = build.function(node, tf.math.truediv, *tensors)
    else:
        tensor = build.layer(node, _LAYERS[node.op], tensors)
    shape = tuple(int(size) for size in np.broadcast_shapes(*(value.shape for value in values)))
    positive = node.op in ("Add", "Sum", "Mul", "Max", "Min", "Mean") and all(value.not_negative for value in values)
    return Value(tensor, shape, order, positive)


@operation("Pow", runs=BOTH)
def power(build: Lowering, node: Node) -> Value:
    """Products for the powers 2 to 8, square roots for 1/2 and -1/2; others in float alone."""
    exponent = build.need_constant(node, 1, "exponents")
    value = build.value(node, 0)
    power = float(exponent.reshape(-1)[0]) if exponent.size == 1 else 0.0
    if power in (0.5, -0.5):
        root = build.function(node, tf.math.sqrt, value.tensor, suffix="" if power > 0 else "root")
        return same(value, root if power > 0 else build.function(node, tf.math.truediv, 1.0, root), True)
    if power in range(2, _MOST_POWER + 1):
        tensor = value.tensor
        for times in range(2, int(power) + 1):
            suffix = "" if times == power else f"to_the_{times}"
            tensor = build.layer(node, "Multiply", [tensor, value.tensor], suffix)
        return same(value, tensor, power % 2 == 0 or value.not_negative)
    return _combine_with_constant(build, node, 0, np.asarray(exponent, np.float32), False)


@operation("Neg", runs=BOTH)
def negative(build: Lowering, node: Node) -> Value:
    """Scaling by -1."""
    value = build.value(node, 0)
    if value.rank == 4 and value.order[0] == 0:
        return scale_and_shift(build, node, node.inputs[0], value, np.full(1, -1, np.float32), np.zeros(1, np.float32))
    return same(value, build.function(node, tf.math.negative, value.tensor))


def _function(function: Callable[..., Any], not_negative: bool = False) -> Any:
    def make(build: Lowering, node: Node) -> Value:
        value = build.value(node, 0)
        return same(value, build.function(node, function, value.tensor), not_negative)

    return make


operation("Exp", runs=CPU)(_function(tf.math.exp, True))
operation("Log", runs=FLOAT)(_function(tf.math.log))
operation("Sqrt", runs=CPU)(_function(tf.math.sqrt, True))
operation("Erf", runs=FLOAT)(_function(tf.math.erf))
operation("Floor", runs=FLOAT)(_function(tf.math.floor))
operation("Ceil", runs=FLOAT)(_function(tf.math.ceil))
operation("Round", runs=FLOAT)(_function(tf.math.round))
operation("Sin", runs=FLOAT)(_function(tf.math.sin))
operation("Cos", runs=FLOAT)(_function(tf.math.cos))


@operation("Abs", runs=CPU)
def absolute(build: Lowering, node: Node) -> Value:
    """The larger of x and -x."""
    value = build.value(node, 0)
    less = build.function(node, tf.math.negative, value.tensor, suffix="less")
    return same(value, build.layer(node, "Maximum", [value.tensor, less]), True)


@operation("Reciprocal", runs=CPU)
def reciprocal(build: Lowering, node: Node) -> Value:
    """1 / x."""
    value = build.value(node, 0)
    return same(value, build.function(node, tf.math.truediv, 1.0, value.tensor), value.not_negative)


@operation("Identity", "Dropout", "Cast", runs=NOWHERE)
def identity(build: Lowering, node: Node) -> Value:
    """Nothing; a cast to whole numbers is refused, because they are rounded towards zero."""
    if node.op == "Cast" and node.attrs.get("to") not in (1, 10, 11, 16):
        raise Refused("makes whole numbers of the network's real ones")
    return build.value(node, 0)
