"""Layers with a kernel and a bias in the front end's graph: convolutions and Dense."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.layers.activation import activation_function, activation_name
from softdpu.compiler.layers.common import pair, weight, window
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import layer as layer_kind


@layer_kind("Conv2D")
def conv2d(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Conv2D: kernel HWIO -> OHWI."""
    kernel = weight(build, layer, "kernel", 4)
    attrs, size = window(build, layer, sources[0].shape, kernel.shape[:2])
    groups = int(layer.config.get("groups") or 1)
    if sources[0].shape[-1] != kernel.shape[2] * groups:
        raise build.error(layer, f"kernel takes {kernel.shape[2] * groups} channels, input has {sources[0].shape[-1]}")
    attrs["group"] = groups
    weights = kernel.transpose(3, 0, 1, 2)
    return _convolve(build, layer, name, "conv2d", sources[0], weights, attrs, (*size, kernel.shape[3]))


@layer_kind("DepthwiseConv2D")
def depthwise_conv2d(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """DepthwiseConv2D: kernel (h, w, in, multiplier) -> (multiplier, h, w, in)."""
    kernel = weight(build, layer, "depthwise_kernel", 4)
    attrs, size = window(build, layer, sources[0].shape, kernel.shape[:2])
    channels = kernel.shape[2] * kernel.shape[3]
    if sources[0].shape[-1] != kernel.shape[2]:
        raise build.error(layer, f"kernel takes {kernel.shape[2]} channels, input has {sources[0].shape[-1]}")
    weights = kernel.transpose(3, 0, 1, 2)
    return _convolve(
        build, layer, name, "depthwise-conv2d", sources[0], weights, attrs, (*size, channels), "depthwise_kernel"
    )


@layer_kind("Conv2DTranspose")
def conv2d_transpose(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Conv2DTranspose: kernel (h, w, out, in) is turned by 180 degrees -> OHWI over the stretched input."""
    kernel = weight(build, layer, "kernel", 4)
    strides, height, width = pair(layer.config["strides"]), *kernel.shape[:2]
    if layer.config.get("output_padding") is not None or pair(layer.config.get("dilation_rate", 1)) != (1, 1):
        raise build.error(layer, "output_padding and dilation are not supported: leave them at their defaults")
    same = layer.config["padding"] == "same"
    size = [
        extent * stride if same else extent * stride + max(window - stride, 0)
        for extent, stride, window in zip(sources[0].shape[1:3], strides, (height, width), strict=True)
    ]
    attrs = {
        "kernel": [width, height],
        "stride": list(strides[::-1]),
        "dilation": [1, 1],
        "pad_mode": "SAME" if same else "VALID",
        "pad": [0, 0, 0, 0],
    }
    weights = kernel[::-1, ::-1].transpose(2, 0, 1, 3)
    shape = (sources[0].shape[0], *size, kernel.shape[2])
    return _convolve(build, layer, name, "transposed-conv2d", sources[0], weights, attrs, shape)


@layer_kind("Dense")
def dense(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Dense: a matrix product over the last axis."""
    kernel = weight(build, layer, "kernel", 2)
    if sources[0].shape[-1] != kernel.shape[0]:
        raise build.error(layer, f"kernel takes {kernel.shape[0]} values, input has {sources[0].shape[-1]}")
    fix = layer.weight_fix("kernel")
    weights = build.add_constant(layer, f"{name}_const_const", kernel)
    if fix is not None:
        weights = build.add_fix(layer, f"{name}_const_fix", weights, fix)
    inputs = {"input": [sources[0], weights], **_add_bias(build, layer, name, kernel.shape[1])}
    shape = (*sources[0].shape[:-1], kernel.shape[1])
    op = build.add(layer, name, "matmul", inputs, {"transpose_a": False, "transpose_b": False}, shape)
    return _activate(build, layer, op)


def _convolve(
    build: Builder,
    layer: Layer,
    name: str,
    kind: str,
    source: Op,
    weights: np.ndarray,
    attrs: dict[str, Any],
    shape: tuple[int, ...],
    key: str = "kernel",
) -> Op:
    parameter = build.add_parameter(layer, f"{name}_weights", weights, layer.weight_fix(key), "_fixneuron")
    inputs = {"input": [source], "weights": [parameter], **_add_bias(build, layer, name, shape[-1])}
    return _activate(build, layer, build.add(layer, name, kind, inputs, attrs, shape))


def _add_bias(build: Builder, layer: Layer, name: str, outputs: int) -> dict[str, list[Op]]:
    if not layer.config.get("use_bias", True):
        return {}
    bias = weight(build, layer, "bias", 1)
    if bias.size != outputs:
        raise build.error(layer, f"bias has {bias.size} values for {outputs} outputs: the file is damaged")
    return {"bias": [build.add_parameter(layer, f"{name}_bias", bias, layer.weight_fix("bias"), "_fixneuron")]}


def _activate(build: Builder, layer: Layer, op: Op) -> Op:
    """Append the activation that a convolution or Dense carries in its own config, and the output's fix."""
    function = activation_name(layer.config.get("activation"))
    if function in ("linear", "NoQuantizeActivation"):
        return build.quantize_output(layer, op)
    return activation_function(build, layer, f"{op.name}_{function}", op, function)
