"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.picking import border_by_index
from softdpu.onnx_import.ops.shared import (
    NO_PADS,
    Pads,
    image_value,
    is_same,
    pad_with_zeros,
    pair,
    read_pads,
    same_pads,
)
from softdpu.onnx_import.registry import BOTH, DPU, Refused, operation
from softdpu.onnx_import.value import Value


def _window(build: Lowering, node: Node, value: Value) -> tuple[tuple[int, int], tuple[int, int], Pads, Pads]:
    """Return (kernel, strides, the file's padding, the same with what ceil_mode and strides add or leave out)."""
    kernel, strides = pair(node, "kernel_shape"), pair(node, "strides")
    if max(pair(node, "dilations")) > 1:
        raise Refused("has dilations")
    sizes = (value.shape[2], value.shape[3])
    pads = read_pads(node, sizes, kernel, strides)
    out = build.shape(node)[2:]
    ends = []
    for axis in (0, 1):
        reach = (out[axis] - 1) * strides[axis] + kernel[axis]
        ends.append((pads[axis][0], max(pads[axis][1], reach - sizes[axis] - pads[axis][0])))
    return kernel, strides, pads, (ends[0], ends[1])


@operation("MaxPool", runs=DPU)
def max_pool(build: Lowering, node: Node) -> Value:
    """MaxPooling2D; padding counts as minus infinity, which zeros are only behind a ReLU."""
    value = build.image(node)
    if len([name for name in node.outputs if name]) > 1:
        raise Refused("gives indices too")
    kernel, strides, _, pads = _window(build, node, value)
    sizes = (value.shape[2], value.shape[3])
    tensor = value.tensor
    config: dict[str, Any] = {"pool_size": kernel, "strides": strides}
    if pads == NO_PADS:
        result = build.layer(node, "MaxPooling2D", tensor, **config)
    elif is_same(pads, sizes, kernel, strides):
        result = build.layer(node, "MaxPooling2D", tensor, padding="same", **config)
    elif value.not_negative:
        result = build.layer(node, "MaxPooling2D", pad_with_zeros(build, node, tensor, pads), **config)
    elif _has_its_windows(pads, build.shape(node)[2:], sizes, kernel, strides):
        # The maximum of every window of stride 1, of which the strides then take some.
        tensor = build.layer(node, "MaxPooling2D", tensor, "windows", pool_size=kernel, strides=1, padding="same")
        result = build.layer(node, "MaxPooling2D", tensor, pool_size=1, strides=strides)
    else:
        # A window that reaches over the border holds the pixels at it, so that repeating those changes no maximum.
        filled = border_by_index(build, node, tensor, [(0, 0), *pads, (0, 0)], "edge")
        result = build.layer(node, "MaxPooling2D", filled, **config)
    return _cut(build, node, image_value(build, node, result, value.not_negative))


def _has_its_windows(
    pads: Pads, out: tuple[int, ...], sizes: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int]
) -> bool:
    """Tell whether Keras' `same` of stride 1 has every window among its own."""
    return all(
        pads[axis][0] == same_pads(sizes[axis], kernel[axis], 1)[0]
        and -(-sizes[axis] // strides[axis]) == out[axis]
        and pads[axis][1] <= kernel[axis] - 1 - pads[axis][0]
        for axis in (0, 1)
    )


def _cut(build: Lowering, node: Node, value: Value) -> Value:
    expected = build.shape(node)[2:]
    if value.shape[2:] != expected:
        raise Refused(f"makes {expected[0]}x{expected[1]} pixels, which Keras cannot")
    return value


@operation("AveragePool", runs=BOTH)
def average_pool(build: Lowering, node: Node) -> Value:
    """AveragePooling2D; where the padding counts or not, and Keras has no way to say so, a product mends the border."""
    value = build.image(node)
    kernel, strides, pads, ends = _window(build, node, value)
    sizes = (value.shape[2], value.shape[3])
    config: dict[str, Any] = {"pool_size": kernel, "strides": strides}
    counted = bool(node.attrs.get("count_include_pad", 0))
    if ends == NO_PADS:
        result = build.layer(node, "AveragePooling2D", value.tensor, **config)
    elif not counted and is_same(ends, sizes, kernel, strides):
        result = build.layer(node, "AveragePooling2D", value.tensor, padding="same", **config)
    else:
        factor = _border(kernel, strides, sizes, pads, build.shape(node)[2:], counted)
        padded = pad_with_zeros(build, node, value.tensor, ends)
        exact = bool((factor == 1).all())
        result = build.layer(node, "AveragePooling2D", padded, "" if exact else "sum", **config)
        if not exact:
            result = build.function(node, tf.math.multiply, result, factor[None, :, :, None])
    return _cut(build, node, image_value(build, node, result, value.not_negative))


def _border(
    kernel: tuple[int, int],
    strides: tuple[int, int],
    sizes: tuple[int, int],
    pads: Pads,
    out: tuple[int, ...],
    counted: bool,
) -> np.ndarray:
    """Return by what the mean over a whole window is multiplied, float32[rows, columns]: its size / what counts."""
    counts = []
    for axis in (0, 1):
        starts = np.arange(out[axis]) * strides[axis] - pads[axis][0]
        low, high = (-pads[axis][0], sizes[axis] + pads[axis][1]) if counted else (0, sizes[axis])
        counts.append(np.minimum(starts + kernel[axis], high) - np.maximum(starts, low))
    return (kernel[0] * kernel[1] / np.outer(counts[0], counts[1])).astype(np.float32)


@operation("GlobalAveragePool", runs=DPU)
def global_average_pool(build: Lowering, node: Node) -> Value:
    """GlobalAveragePooling2D."""
    return _global(build, node, "GlobalAveragePooling2D")


@operation("GlobalMaxPool", runs=BOTH)
def global_max_pool(build: Lowering, node: Node) -> Value:
    """GlobalMaxPooling2D."""
    return _global(build, node, "GlobalMaxPooling2D")


def _global(build: Lowering, node: Node, kind: str) -> Value:
    value = build.image(node)
    return image_value(build, node, build.layer(node, kind, value.tensor, keepdims=True), value.not_negative)
