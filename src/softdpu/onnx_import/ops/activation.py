"""Activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.normalization import EPSILON, scaling_parts
from softdpu.onnx_import.ops.shared import align, same
from softdpu.onnx_import.patterns import clip_limits
from softdpu.onnx_import.registry import BOTH, CPU, DPU, FLOAT, Refused, operation
from softdpu.onnx_import.value import Value


@operation("Relu", runs=DPU)
def relu(build: Lowering, node: Node) -> Value:
    """ReLU."""
    value = build.value(node, 0)
    return same(value, build.layer(node, "ReLU", value.tensor), True)


@operation("LeakyRelu", runs=BOTH)
def leaky_relu(build: Lowering, node: Node) -> Value:
    """LeakyReLU."""
    value = build.value(node, 0)
    alpha = float(np.float32(node.attrs.get("alpha", 0.01)))
    if abs(alpha - 0.1) < 1e-7:
        alpha = 0.1  # as a Keras user writes it
    return same(value, build.layer(node, "LeakyReLU", value.tensor, alpha=alpha))


@operation("PRelu", runs=BOTH)
def prelu(build: Lowering, node: Node) -> Value:
    """PReLU; one slope for all is a LeakyReLU."""
    value = build.value(node, 0)
    slope = build.need_constant(node, 1, "slopes")
    if slope.size == 1:
        return same(value, build.layer(node, "LeakyReLU", value.tensor, alpha=float(slope.reshape(-1)[0])))
    alpha = align(value, slope)[0]
    shared = [axis + 1 for axis, size in enumerate(alpha.shape) if size == 1 and axis < alpha.ndim - 1]
    alpha = np.broadcast_to(alpha, (*alpha.shape[:-1], value.keras_shape[-1]))
    return same(value, build.layer(node, "PReLU", value.tensor, "", [alpha], shared_axes=shared or None))


@operation("Clip", runs=BOTH)
def clip(build: Lowering, node: Node) -> Value:
    """ReLU or ReLU6, which are the DPU's; other limits are the CPU's."""
    value = build.value(node, 0)
    limits = clip_limits(build.finder, node)
    if limits is None:
        raise Refused("has limits that are computed, not constant")
    low, high = limits
    if low == 0 and (high == 6.0 or high > 3e38):
        return same(value, build.layer(node, "ReLU", value.tensor, max_value=6.0 if high == 6.0 else None), True)
    tensor = value.tensor
    if low > -3e38:
        suffix = "low" if high < 3e38 else ""
        if low == 0:
            tensor = build.layer(node, "ReLU", tensor, suffix)
        else:
            tensor = build.function(node, tf.math.maximum, tensor, low, suffix=suffix)
    if high < 3e38:
        tensor = build.function(node, tf.math.minimum, tensor, high)
    return same(value, tensor, low >= 0)


def _make_named(name: str, not_negative: bool = False) -> Any:
    def make(build: Lowering, node: Node) -> Value:
        value = build.value(node, 0)
        return same(value, build.layer(node, "Activation", value.tensor, activation=name), not_negative)

    return make


operation("Sigmoid", runs=DPU)(_make_named("sigmoid", True))
operation("Swish", runs=DPU)(_make_named("swish"))
operation("Tanh", runs=CPU)(_make_named("tanh"))
operation("Softplus", runs=FLOAT)(_make_named("softplus", True))


@operation("Softsign", runs=CPU)
def softsign(build: Lowering, node: Node) -> Value:
    """X / (1 + |x|)."""
    value = build.value(node, 0)
    less = build.function(node, tf.math.negative, value.tensor, suffix="less")
    size = build.function(node, tf.math.maximum, value.tensor, less, suffix="size")
    more = build.function(node, tf.math.add, size, 1.0, suffix="more")
    return same(value, build.function(node, tf.math.truediv, value.tensor, more))


@operation("Selu", runs=CPU)
def selu(build: Lowering, node: Node) -> Value:
    """An ELU, scaled."""
    value = build.value(node, 0)
    alpha, gamma = float(node.attrs.get("alpha", 1.6732632)), float(node.attrs.get("gamma", 1.0507010))
    tensor = build.layer(node, "ELU", value.tensor, "elu", alpha=alpha)
    return same(value, build.function(node, tf.math.multiply, tensor, gamma))


@operation("Mish", runs=CPU)
def mish(build: Lowering, node: Node) -> Value:
    """X * tanh(softplus(x)), which is x * n / (n + 2) with n = e**x * (e**x + 2); from x = 20 on it is x in float32."""
    value = build.value(node, 0)
    limited = build.function(node, tf.math.minimum, value.tensor, 20.0, suffix="limited")
    power = build.function(node, tf.math.exp, limited, suffix="exp")
    more = build.function(node, tf.math.add, power, 2.0, suffix="exp_plus_2")
    part = build.function(node, tf.math.multiply, power, more, suffix="part")
    whole = build.function(node, tf.math.add, part, 2.0, suffix="whole")
    gate = build.function(node, tf.math.truediv, part, whole, suffix="gate")
    return same(value, build.layer(node, "Multiply", [value.tensor, gate]))


@operation("Elu", runs=CPU)
def elu(build: Lowering, node: Node) -> Value:
    """ELU."""
    value = build.value(node, 0)
    return same(value, build.layer(node, "ELU", value.tensor, alpha=float(node.attrs.get("alpha", 1.0))))


@operation("Gelu", runs=CPU)
def gelu(build: Lowering, node: Node) -> Value:
    """GELU by the error function, or as the file says by tanh."""
    value = build.value(node, 0)
    if node.attrs.get("approximate", "none") == "none":
        return same(value, build.layer(node, "Activation", value.tensor, activation="gelu"))
    return same(value, build.function(node, tf.nn.gelu, value.tensor, approximate=True))


def _dpu_hard_sigmoid(build: Lowering, node: Node, tensor: Any, last: str) -> Any:
    """Return Relu6(x + 3) / 6 in the three layers that the quantizer turns into the DPU's hard sigmoid."""
    total = build.function(node, tf.__operators__.add, tensor, 3.0, suffix="plus_3")
    limited = build.layer(node, "ReLU", total, "relu6", max_value=6.0)
    return build.function(node, tf.math.multiply, limited, 1 / 6, suffix=last)


@operation("HardSigmoid", runs=DPU)
def hard_sigmoid(build: Lowering, node: Node) -> Value:
    """The hard sigmoid of slope 1/6, which is the DPU's; behind a convolution, which takes up the rest, any slope."""
    value = build.value(node, 0)
    alpha, beta = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-4 and abs(beta - 0.5) < 1e-6:
        return same(value, _dpu_hard_sigmoid(build, node, value.tensor, ""), True)
    if value.rank == 4 and build.finder.made_by(node.inputs[0], "Conv"):
        parts = scaling_parts(value.keras_shape[-1], np.float32(6 * alpha), np.float32(6 * beta - 3))
        tensor = build.layer(node, "BatchNormalization", value.tensor, "scaled", parts, epsilon=EPSILON)
        return same(value, _dpu_hard_sigmoid(build, node, tensor, ""), True)
    if abs(alpha - 0.2) < 1e-6 and abs(beta - 0.5) < 1e-6:
        return same(value, build.layer(node, "Activation", value.tensor, activation="hard_sigmoid"), True)
    tensor = build.function(node, tf.math.multiply, value.tensor, alpha, suffix="slope")
    tensor = build.function(node, tf.math.add, tensor, beta, suffix="offset")
    tensor = build.layer(node, "ReLU", tensor, "low")
    return same(value, build.function(node, tf.math.minimum, tensor, 1.0), True)


@operation("HardSwish", runs=DPU)
def hard_swish(build: Lowering, node: Node) -> Value:
    """X * hard sigmoid of x."""
    value = build.value(node, 0)
    gate = _dpu_hard_sigmoid(build, node, value.tensor, "gate")
    return same(value, build.layer(node, "Multiply", [value.tensor, gate]))


@operation("Softmax", runs=CPU)
def softmax(build: Lowering, node: Node) -> Value:
    """Softmax over one axis; before operator set 13 over all from one on, of which one alone may be longer than 1."""
    return _softmax(build, node, None)


@operation("LogSoftmax", runs=FLOAT)
def log_softmax(build: Lowering, node: Node) -> Value:
    """The logarithm of Softmax."""
    return _softmax(build, node, tf.nn.log_softmax)


def _softmax(build: Lowering, node: Node, function: Any) -> Value:
    value = build.plain(build.value(node, 0))
    axis = int(node.attrs.get("axis", -1 if node.version >= 13 else 1)) % value.rank
    if node.version < 13:
        long = [index for index in range(axis, value.rank) if value.shape[index] > 1]
        if len(long) > 1:
            raise Refused(f"takes {len(long)} axes as one; export it with operator set 13 or later")
        axis = long[0] if long else axis
    place = value.keras_axis(axis)
    if place == 0:
        raise Refused("mixes the images of a batch")
    if function:
        return same(value, build.function(node, function, value.tensor, axis=place))
    axis = -1 if place == value.rank - 1 else place
    return same(value, build.layer(node, "Softmax", value.tensor, axis=axis), True)
