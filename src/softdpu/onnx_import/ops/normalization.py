"""Normalizations, and everything that scales and shifts channels by constants."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.picking import add_up
from softdpu.onnx_import.ops.shared import same
from softdpu.onnx_import.registry import CPU, DPU, Refused, operation
from softdpu.onnx_import.value import Value, image_order

EPSILON = 2.0**-10  # with the variance 1 - 2**-10 their sum is exactly 1


@operation("BatchNormalization", runs=DPU)
def batch_normalization(build: Lowering, node: Node) -> Value:
    """BatchNormalization, which the quantizer folds into the convolution before it."""
    value = build.value(node, 0)
    if value.rank not in (2, 4):
        raise Refused(f"has an input of {value.rank} dimensions; images or vectors are expected")
    if value.mixed is None:
        value = build.reorder(value, image_order(value.rank), "nhwc", node)
    parts = [build.need_constant(node, index, "statistics") for index in (1, 2, 3, 4)]
    if value.mixed is not None:
        parts = [part[value.mixed] for part in parts]
    return _normalize(build, node, value, parts, float(node.attrs.get("epsilon", 1e-5)))


def _normalize(build: Lowering, node: Node, value: Value, parts: list[np.ndarray], epsilon: float) -> Value:
    tensor = build.layer(node, "BatchNormalization", value.tensor, "", parts, epsilon=epsilon)
    build.affine[node.outputs[0]] = build.weights[-1]
    return same(value, tensor)


def scale_and_shift(
    build: Lowering, node: Node, source: str, value: Value, scale: np.ndarray, offset: np.ndarray
) -> Value:
    """Return value * scale + offset, one number or one for each channel of the Keras tensor.

    Behind the input it is Rescaling, which the build takes out of the network; elsewhere BatchNormalization, which the
    DPU has, joined with the one before it if there is one.

    Args:
        source: name of the tensor that `value` stands for.
    """
    before = build.affine.get(source)
    channels = value.keras_shape[-1]
    if before is not None and build.finder.is_private(source):
        _extend(before, scale, offset)
        build.affine[node.outputs[0]] = before
        return same(value, value.tensor)
    layer_before = value.tensor.node.layer if hasattr(value.tensor, "node") else None
    if type(layer_before).__name__ == "InputLayer" and value.rank == 4:
        tensor = build.layer(node, "Rescaling", value.tensor, scale=_list_numbers(scale), offset=_list_numbers(offset))
        build.affine[node.outputs[0]] = (tensor.node.layer, None)
        return same(value, tensor)
    return _normalize(build, node, value, scaling_parts(channels, scale, offset), EPSILON)


def scaling_parts(channels: int, scale: Any, offset: Any) -> list[np.ndarray]:
    """Return the weights of a BatchNormalization with the epsilon EPSILON that gives x * scale + offset exactly."""
    one = np.ones(channels, np.float32)
    return [one * scale, one * offset, 0 * one, one * np.float32(1 - EPSILON)]


def _list_numbers(numbers: np.ndarray) -> float | list[float]:
    flat = np.asarray(numbers, np.float32).reshape(-1)
    return float(flat[0]) if flat.size == 1 else [float(number) for number in flat]


def _extend(before: tuple, scale: np.ndarray, offset: np.ndarray) -> None:
    """Put another scale and offset behind those of a layer."""
    layer, parts = before
    if parts is None:
        layer.offset = _list_numbers(np.asarray(layer.offset, np.float32) * scale + offset)
        layer.scale = _list_numbers(np.asarray(layer.scale, np.float32) * scale)
        return
    parts[0] = np.asarray(parts[0] * scale, np.float32)
    parts[1] = np.asarray(parts[1] * scale + offset, np.float32)


@operation("LRN", runs=CPU)
def local_response(build: Lowering, node: Node) -> Value:
    """Local response normalization over neighbouring channels.

    The power 3/4, which every known network has, is written with square roots: they are rounded in one way everywhere,
    so that a processor's result is TensorFlow's bit for bit.
    """
    value = build.image(node)
    size, beta = int(node.attrs["size"]), float(node.attrs.get("beta", 0.75))
    alpha, offset = float(node.attrs.get("alpha", 1e-4)) / size, float(node.attrs.get("bias", 1.0))
    if size % 2 == 0:
        raise Refused(f"is over {size} channels; an odd number is expected")
    if beta not in (0.5, 0.75, 1.0):
        raise Refused(f"has the power {beta}; 0.75, 0.5 and 1 are known")
    total = _sum_neighbours(build, node, value, size // 2)
    total = build.function(node, tf.math.multiply, total, alpha, suffix="alpha")
    total = build.function(node, tf.math.add, total, offset, suffix="bias")
    power = total
    if beta < 1:
        power = root = build.function(node, tf.math.sqrt, total, suffix="root")
    if beta == 0.75:
        second = build.function(node, tf.math.sqrt, root, suffix="second_root")
        power = build.function(node, tf.math.multiply, root, second, suffix="power")
    return same(value, build.function(node, tf.math.truediv, value.tensor, power), value.not_negative)


def _sum_neighbours(build: Lowering, node: Node, value: Value, radius: int) -> Any:
    """Return for each channel the sum of its own square and its neighbours'."""
    channels, whole = value.shape[1], [slice(None)] * 3
    radius = min(radius, channels)  # beyond there is nothing
    square = build.function(node, tf.math.multiply, value.tensor, value.tensor, suffix="square")
    if radius == 0:
        return square
    zeros = build.function(node, tf.math.multiply, square, 0.0, suffix="zeros")
    padded = build.function(node, tf.concat, [zeros, square, zeros], suffix="padded", axis=-1)
    total = None
    for number, start in enumerate(range(channels - radius, channels + radius + 1)):
        part = build.slices(node, padded, [*whole, slice(start, start + channels, 1)], f"part{number}")
        total = part if total is None else build.function(node, tf.math.add, total, part, suffix=f"sum{number}")
    return total


@operation("LayerNormalization", runs=CPU)
def layer_normalization(build: Lowering, node: Node) -> Value:
    """LayerNormalization over the last axis of the file's tensor."""
    value = build.plain(build.value(node, 0))
    axis = int(node.attrs.get("axis", -1)) % value.rank
    if axis != value.rank - 1 or axis == value.order[0]:
        raise Refused(f"is over the axes from {axis} on; the last one alone is known")
    if value.order[-1] != axis:
        value = build.reorder(value, (*(one for one in value.order if one != axis), axis), "permute", node)
    scale = build.need_constant(node, 1, "scales").reshape(-1)
    offset = build.need_constant(node, 2, "offsets").reshape(-1) if node.input(2) else np.zeros_like(scale)
    return same(value, _standardize(build, node, value.tensor, [value.rank - 1], scale, offset))


def _standardize(
    build: Lowering, node: Node, tensor: Any, axes: list[int], scale: np.ndarray, offset: np.ndarray
) -> Any:
    """Return (x - mean) / sqrt(variance + epsilon) * scale + offset over axes of a Keras tensor.

    Functions of numbers instead of Keras' layers of normalization, which no stage after the import computes.
    """
    epsilon, count = float(node.attrs.get("epsilon", 1e-5)), math.prod(tensor.shape[axis] for axis in axes)
    # The sum of int8 numbers is exact in any order, that of the squares of differences is not.
    mean = build.function(node, tf.math.reduce_mean, tensor, suffix="mean", axis=axes, keepdims=True)
    centred = build.function(node, tf.math.subtract, tensor, mean, suffix="centred")
    squares = build.function(node, tf.math.multiply, centred, centred, suffix="squares")
    total = add_up(build, node, squares, axes, "squares")
    variance = build.function(node, tf.math.multiply, total, 1 / count, suffix="variance")
    shifted = build.function(node, tf.math.add, variance, epsilon, suffix="epsilon")
    root = build.function(node, tf.math.sqrt, shifted, suffix="root")
    ratio = build.function(node, tf.math.truediv, centred, root, suffix="ratio")
    scaled = build.function(node, tf.math.multiply, ratio, scale, suffix="scaled")
    return build.function(node, tf.math.add, scaled, offset)


@operation("InstanceNormalization", runs=CPU)
def instance_normalization(build: Lowering, node: Node) -> Value:
    """Each channel by itself."""
    return _groups(build, node, None)


@operation("GroupNormalization", runs=CPU)
def group_normalization(build: Lowering, node: Node) -> Value:
    """Channels in groups."""
    return _groups(build, node, int(node.attrs["num_groups"]))


def _groups(build: Lowering, node: Node, groups: int | None) -> Value:
    value = build.image(node)
    channels = value.shape[1]
    parts = [build.need_constant(node, index, "scales") for index in (1, 2)]
    scale, offset = (np.repeat(part, channels // part.size) for part in parts)  # before operator set 21 one a group
    if groups in (None, channels):
        return same(value, _standardize(build, node, value.tensor, [1, 2], scale, offset))
    height, width = value.shape[2:]
    sizes = (groups, channels // groups) if groups else ()
    tensor = build.layer(node, "Reshape", value.tensor, "groups", target_shape=(height, width, *sizes))
    made = _standardize(build, node, tensor, [1, 2, 4], scale.reshape(sizes), offset.reshape(sizes))
    return same(value, build.layer(node, "Reshape", made, "image", target_shape=(height, width, channels)))
