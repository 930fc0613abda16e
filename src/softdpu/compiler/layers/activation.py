"""Activation layers and functions in the front end's graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.layers.common import scale
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import layer as layer_kind
from softdpu.numbers import fixed_point


@layer_kind("Activation")
def activation(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """An Activation layer."""
    function = activation_name(layer.config.get("activation"))
    if function in ("linear", "NoQuantizeActivation"):
        return build.quantize_output(layer, sources[0])
    return activation_function(build, layer, name, sources[0], function)


def activation_function(build: Builder, layer: Layer, name: str, source: Op, function: str) -> Op:
    """Append a named activation: quantized on its input (pre_activation_pos) or its output (post_activation_pos)."""
    source, marks = build.quantize_input(layer, name, source)
    make = ACTIVATIONS.get(function)
    if make is None:
        known = ", ".join(sorted(ACTIVATIONS))
        raise build.error(layer, f"unknown activation '{function}': use one of {known}, or a custom layer")
    op = make(build, layer, name, source)
    op.attrs.update(marks)
    return build.quantize_output(layer, op)


def _unary(kind: str, **attrs: Any) -> Callable[[Builder, Layer, str, Op], Op]:
    def make(build: Builder, layer: Layer, name: str, source: Op) -> Op:
        return build.add(layer, name, kind, {"input": [source]}, dict(attrs), source.shape)

    return make


def _keras_hard_sigmoid(build: Builder, layer: Layer, name: str, source: Op) -> Op:
    """Keras' hard_sigmoid, clip(0.2 x + 0.5, 0, 1), which is another function than the DPU's."""
    op = source
    for kind, suffix, number in (("mul", "_slope", 0.2), ("add", "_offset", 0.5), ("min", "_top", 1.0)):
        const = build.add_constant(layer, f"{name}{suffix}_const", number)
        op = build.add(layer, name + suffix, kind, {"input": [op, const]}, {}, source.shape)
    return build.add(layer, name, "relu", {"input": [op]}, {}, source.shape)


def _swish(build: Builder, layer: Layer, name: str, source: Op) -> Op:
    gate = build.add(layer, f"{name}_sigmoid", "sigmoid", {"input": [source]}, {}, source.shape)
    return build.add(layer, name, "mul", {"input": [source, gate]}, {}, source.shape)


ACTIVATIONS: dict[str, Callable[[Builder, Layer, str, Op], Op]] = {
    "relu": _unary("relu"),
    "relu6": _unary("relu6"),
    "sigmoid": _unary("sigmoid"),
    "tanh": _unary("tanh"),
    "softmax": _unary("softmax", axis=-1),
    "elu": _unary("elu", alpha=1.0),
    "gelu": _unary("gelu"),
    "leaky_relu": _unary("leaky-relu", alpha=0.2),
    "hard_sigmoid": _keras_hard_sigmoid,
    "swish": _swish,
    "silu": _swish,
}


def activation_name(value: Any) -> str:
    """Return the name of an activation as a layer's config stores it, "linear" for none.

    The quantizer wraps it: {"class_name": "Vitis>QuantizeAwareActivation", "config": {"activation": ...}}.
    """
    while isinstance(value, dict):
        inner = (value.get("config") or {}).get("activation")
        if inner is None:
            return str(value.get("class_name", "linear")).removeprefix("Vitis>")
        value = inner
    return value or "linear"


@layer_kind("ReLU")
def relu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """ReLU, ReLU(6) or, with a slope, leaky ReLU."""
    limit, slope = layer.config.get("max_value"), layer.config.get("negative_slope") or 0.0
    if (limit is not None and float(limit) != 6.0) or layer.config.get("threshold") or (slope and limit is not None):
        raise build.error(layer, "only ReLU, ReLU(max_value=6) and ReLU(negative_slope) are supported: use one of them")
    kind = "leaky-relu" if slope else "relu" if limit is None else "relu6"
    attrs = {"alpha": float(slope)} if slope else {}
    return build.quantize_output(layer, build.add(layer, name, kind, {"input": sources}, attrs, sources[0].shape))


@layer_kind("LeakyReLU")
def leaky_relu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """LeakyReLU with its slope."""
    alpha = layer.config.get("alpha", layer.config.get("negative_slope", 0.3))
    attrs = {"alpha": float(np.float32(alpha))}
    return build.quantize_output(
        layer, build.add(layer, name, "leaky-relu", {"input": sources}, attrs, sources[0].shape)
    )


@layer_kind("PReLU")
def prelu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """PReLU with its slopes."""
    alpha = layer.weights.get("alpha")
    if alpha is None:
        raise build.error(layer, "holds no alpha: the file is damaged")
    slopes = build.add_parameter(layer, f"{name}_weight", alpha, layer.weight_fix("alpha"), "_fixneuron")
    inputs = {"input": sources, "weight": [slopes]}
    return build.quantize_output(layer, build.add(layer, name, "prelu", inputs, {}, sources[0].shape))


@layer_kind("ELU")
def elu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """ELU."""
    attrs = {"alpha": float(layer.config.get("alpha", 1.0))}
    return build.quantize_output(layer, build.add(layer, name, "elu", {"input": sources}, attrs, sources[0].shape))


@layer_kind("Softmax")
def softmax(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A Softmax layer."""
    axis = -1 if build.is_vector(sources[0]) else layer.config.get("axis", -1)
    return build.add(layer, name, "softmax", {"input": sources}, {"axis": int(axis)}, sources[0].shape)


@layer_kind("VitisSigmoid")
def vitis_sigmoid(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """The DPU's sigmoid relu6(x + 3) * 2731 / 2**14, written hard-sigmoid (which is / 6) times 6 * 2731 / 2**14."""
    op = build.add(layer, name, "hard-sigmoid", {"input": sources}, {}, sources[0].shape)
    factor = 6 * fixed_point.HARD_SIGMOID_SCALE / 2**fixed_point.HARD_SIGMOID_SHIFT
    return build.quantize_output(layer, op, scale(build, layer, op, factor))
