"""Convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.shared import convolve, image_value, is_same, pad_with_zeros, pair, read_pads
from softdpu.onnx_import.registry import DPU, Refused, operation
from softdpu.onnx_import.value import Value

_LARGE = 1 << 22  # a kernel of more numbers keeps its groups, which the CPU computes


@operation("Conv", runs=DPU)
def conv(build: Lowering, node: Node) -> Value:
    """Conv2D or DepthwiseConv2D; groups become zeros in a full kernel, because no DPU has groups."""
    value = build.image(node)
    weights = build.need_constant(node, 1, "weights")
    bias = build.constant(node, 2) if not node.input(2) else build.need_constant(node, 2, "biases")
    strides, dilations, group = pair(node, "strides"), pair(node, "dilations"), int(node.attrs.get("group", 1))
    sizes = (value.shape[2], value.shape[3])
    channels = value.shape[1]
    if weights.ndim != 4 or weights.shape[1] * group != channels or weights.shape[0] % group:
        raise Refused(f"has weights of shape {weights.shape} and {group} groups for {channels} channels")
    reach = tuple((weights.shape[2 + axis] - 1) * dilations[axis] + 1 for axis in (0, 1))
    pads = read_pads(node, sizes, reach, strides)
    if max(strides) > 1 and max(dilations) > 1:
        weights, dilations = spread(weights, dilations), (1, 1)
    same = is_same(pads, sizes, reach, strides)
    tensor = value.tensor if same else pad_with_zeros(build, node, value.tensor, pads)
    config: dict[str, Any] = {
        "strides": strides,
        "dilation_rate": dilations,
        "padding": "same" if same and any(map(any, pads)) else "valid",
    }
    if group == channels and group > 1 and strides[0] == strides[1]:
        return image_value(build, node, _depthwise(build, node, tensor, weights, bias, config))
    if group > 1 and weights.size * group <= _LARGE:
        weights, group = full_kernel(weights, group), 1
    kernel = weights.transpose(2, 3, 1, 0)
    return image_value(build, node, convolve(build, node, tensor, kernel, bias, groups=group, **config))


def _depthwise(
    build: Lowering, node: Node, tensor: Any, weights: np.ndarray, bias: np.ndarray | None, config: dict[str, Any]
) -> Any:
    channels = tensor.shape[-1]
    multiplier = len(weights) // channels
    kernel = weights.reshape(channels, multiplier, *weights.shape[2:]).transpose(2, 3, 0, 1)
    return build.layer(
        node,
        "DepthwiseConv2D",
        tensor,
        "",
        [kernel] if bias is None else [kernel, bias],
        kernel_size=kernel.shape[:2],
        depth_multiplier=multiplier,
        use_bias=bias is not None,
        depthwise_initializer="zeros",
        **config,
    )


def spread(weights: np.ndarray, dilations: tuple[int, int]) -> np.ndarray:
    """Return a kernel (..., height, width) with its dilation written out as zeros."""
    height, width = ((size - 1) * rate + 1 for size, rate in zip(weights.shape[-2:], dilations, strict=True))
    full = np.zeros((*weights.shape[:-2], height, width), weights.dtype)
    full[..., :: dilations[0], :: dilations[1]] = weights
    return full


def full_kernel(weights: np.ndarray, group: int) -> np.ndarray:
    """Return the kernel (a, b, height, width) without groups that does what (a, b / group, height, width) does."""
    high, wide = weights.shape[0] // group, weights.shape[1]
    full = np.zeros((len(weights), wide * group, *weights.shape[2:]), weights.dtype)
    for index in range(group):
        rows = slice(index * high, (index + 1) * high)
        full[rows, index * wide : (index + 1) * wide] = weights[rows]
    return full


@operation("ConvTranspose", runs=DPU)
def conv_transpose(build: Lowering, node: Node) -> Value:
    """Conv2DTranspose; where Keras' `same` cuts elsewhere, zeros at the kernel's edge move it into place."""
    value = build.image(node)
    weights = build.need_constant(node, 1, "weights")  # in, out / group, height, width
    bias = build.constant(node, 2) if not node.input(2) else build.need_constant(node, 2, "biases")
    strides, dilations, group = pair(node, "strides"), pair(node, "dilations"), int(node.attrs.get("group", 1))
    if weights.ndim != 4 or weights.shape[0] != value.shape[1]:
        raise Refused(f"has weights of shape {weights.shape} for {value.shape[1]} channels")
    if dilations != (1, 1):
        weights = spread(weights, dilations)
    if group > 1:
        weights = full_kernel(weights, group)
    kernel = weights.transpose(2, 3, 1, 0)
    out = build.shape(node)
    starts = [
        _cut_before(node, axis, value.shape[2 + axis], kernel.shape[axis], strides[axis], out[2 + axis])
        for axis in (0, 1)
    ]
    fitted = [_fit(kernel.shape[axis], strides[axis], starts[axis]) for axis in (0, 1)]
    grown = all(out[2 + axis] == value.shape[2 + axis] * strides[axis] for axis in (0, 1))
    if grown and starts == [0, 0] and all(kernel.shape[axis] <= strides[axis] for axis in (0, 1)):
        return image_value(build, node, _transpose(build, node, value.tensor, kernel, bias, strides, "valid"))
    if grown:
        kernel = np.pad(kernel, [*fitted, (0, 0), (0, 0)])
        return image_value(build, node, _transpose(build, node, value.tensor, kernel, bias, strides, "same"))
    full = [(value.shape[2 + axis] - 1) * strides[axis] + max(kernel.shape[axis], strides[axis]) for axis in (0, 1)]
    missing = [max(starts[axis] + out[2 + axis] - full[axis], 0) for axis in (0, 1)]
    kernel = np.pad(
        kernel, [(0, _lengthen(kernel.shape[a], strides[a], missing[a])) for a in (0, 1)] + [(0, 0), (0, 0)]
    )
    full = [(value.shape[2 + axis] - 1) * strides[axis] + max(kernel.shape[axis], strides[axis]) for axis in (0, 1)]
    cropping = [(starts[axis], full[axis] - starts[axis] - out[2 + axis]) for axis in (0, 1)]
    if cropping == [(0, 0), (0, 0)]:
        return image_value(build, node, _transpose(build, node, value.tensor, kernel, bias, strides, "valid"))
    tensor = _transpose(build, node, value.tensor, kernel, bias, strides, "valid", "full")
    return image_value(build, node, build.layer(node, "Cropping2D", tensor, cropping=cropping))


def _lengthen(kernel: int, stride: int, missing: int) -> int:
    return missing and max(kernel, stride) + missing - kernel


def _transpose(
    build: Lowering,
    node: Node,
    tensor: Any,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    strides: tuple[int, int],
    padding: str,
    suffix: str = "",
) -> Any:
    return build.layer(
        node,
        "Conv2DTranspose",
        tensor,
        suffix,
        [kernel] if bias is None else [kernel, bias],
        filters=kernel.shape[2],
        kernel_size=kernel.shape[:2],
        strides=strides,
        padding=padding,
        use_bias=bias is not None,
        kernel_initializer="zeros",
    )


def _cut_before(node: Node, axis: int, size: int, reach: int, stride: int, out: int) -> int:
    """Return how many rows or columns of the full result are cut off before its first."""
    extra = (node.attrs.get("output_padding") or [0, 0])[axis]
    mode = node.attrs.get("auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER") or node.attrs.get("output_shape"):
        total = max((size - 1) * stride + extra + reach - out, 0)
        return total - total // 2 if mode == "SAME_LOWER" or (mode == "NOTSET") else total // 2
    return 0 if mode == "VALID" else int((node.attrs.get("pads") or [0, 0, 0, 0])[axis])


def _fit(kernel: int, stride: int, start: int) -> tuple[int, int]:
    """Return how many zeros to put before and after a kernel so that Keras' `same` cuts `start` off before the first.

    It cuts (kernel - stride) // 2 off; a zero before the kernel moves everything by one.
    """
    before, after = max(kernel - stride - 2 * start, 0), max(2 * start + stride - kernel, 0)
    return before, after
