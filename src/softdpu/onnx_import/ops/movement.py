"""What cuts, joins and moves parts of tensors."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import numpy as np

from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.picking import border_by_index, border_of_numbers, pick
from softdpu.onnx_import.ops.shared import choose_channels, convolve, image_value, same
from softdpu.onnx_import.registry import BOTH, DPU, Refused, operation
from softdpu.onnx_import.value import NHWC, Value, image_order

_WIDEST = 16  # of a DPU's kernels


@operation("Concat", runs=DPU)
def concat(build: Lowering, node: Node) -> Value:
    """Concatenate."""
    if len(node.inputs) == 1:
        return build.value(node, 0)
    values = [build.value(node, index) for index in range(len(node.inputs))]
    axis = int(node.attrs.get("axis", 1)) % values[0].rank
    orders = [value.order for value in values]
    order = max(set(orders), key=lambda one: (orders.count(one), one == image_order(values[0].rank)))
    values = [build.reorder(value, order, f"order{index}", node) for index, value in enumerate(values)]
    place = order.index(axis)
    if place == 0:
        raise Refused("joins images of a batch")
    tensor = build.layer(
        node, "Concatenate", [value.tensor for value in values], axis=-1 if place == len(order) - 1 else place
    )
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)
    return Value(tensor, tuple(shape), order, all(value.not_negative for value in values))


def take(build: Lowering, node: Node, value: Value, axis: int, indices: list[int], suffix: str = "") -> Value:
    """Return the part of a tensor at `indices` of one axis."""
    axis %= value.rank
    place = value.keras_axis(axis)
    size = value.shape[axis]
    if place == 0:
        raise Refused("takes images out of a batch")
    if _is_range(indices, range(size)):
        return value
    shape = tuple(len(indices) if one == axis else extent for one, extent in enumerate(value.shape))
    if not indices:
        raise Refused("takes nothing")
    if value.rank == 4 and place == 3:
        tensor = choose_channels(build, node, value, indices, suffix)
    elif value.rank == 4 and value.order == NHWC and (window := _one_pixel(indices, size)):
        tensor = _pick(build, node, value, place - 1, window, suffix)
    elif (cut := _as_slice(indices)) is not None:
        spec = [slice(None)] * place + [cut] + [slice(None)] * (value.rank - place - 1)
        tensor = build.slices(node, value.tensor, spec, suffix)
    else:
        tensor = pick(build, node, value.tensor, indices, place, suffix)
    return Value(tensor, shape, value.order, value.not_negative)


def _is_range(indices: list[int], wanted: range) -> bool:
    """Return whether the indices are those of a range, which may be far longer than a list could be."""
    return len(indices) == len(wanted) and all(map(operator.eq, indices, wanted))


def _as_slice(indices: list[int]) -> slice | None:
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if step < 1 or not _is_range(indices, range(indices[0], indices[-1] + 1, step)):
        return None
    return slice(indices[0], indices[-1] + 1, step)


def _one_pixel(indices: list[int], size: int) -> tuple[int, int] | None:
    """Return (kernel, first) where a window of one pixel, moved by its own size, takes every `kernel`-th row."""
    step = indices[1] - indices[0] if len(indices) > 1 else 1
    if step < 2 or step > _WIDEST or indices[0] >= step or _as_slice(indices) is None:
        return None
    return (step, indices[0]) if size == step * len(indices) else None


def _pick(build: Lowering, node: Node, value: Value, axis: int, window: tuple[int, int], suffix: str) -> Any:
    """Return every n-th row or column: a depthwise convolution of one 1, for the DPU, its stride n both ways."""
    step, first = window
    shape = (step, 1) if axis == 0 else (1, step)
    kernel = np.zeros((*shape, value.shape[1], 1), np.float32)
    kernel[(first, 0) if axis == 0 else (0, first)] = 1
    turned = np.zeros((*shape, value.shape[1], value.shape[1]), np.float32)
    turned[(first, 0) if axis == 0 else (0, first)] = np.eye(value.shape[1])
    return convolve(build, node, value.tensor, turned, None, suffix, strides=shape)


@operation("Slice", runs=BOTH)
def cut(build: Lowering, node: Node) -> Value:
    """Channels by a 1 x 1 convolution; rows and columns by Cropping2D or a strided convolution; else a slice."""
    value = build.plain(build.value(node, 0))
    if node.version < 10:
        starts, ends = node.attrs["starts"], node.attrs["ends"]
        axes, steps = node.attrs.get("axes"), None
    else:
        starts, ends = (build.need_constant(node, index, "limits").tolist() for index in (1, 2))
        axes, steps = (
            build.need_constant(node, index, "axes").tolist() if node.input(index) else None for index in (3, 4)
        )
    axes = [axis % value.rank for axis in (axes if axes is not None else range(len(starts)))]
    steps = steps or [1] * len(starts)
    parts = {
        axis: _range(int(start), int(end), int(step), value.shape[axis])
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    }
    parts = {axis: indices for axis, indices in parts.items() if not _is_range(indices, range(value.shape[axis]))}
    cropped = _crop(build, node, value, parts)
    if cropped is not None:
        return cropped
    for number, (axis, indices) in enumerate(parts.items(), 1):
        value = take(build, node, value, axis, indices, "" if number == len(parts) else f"axis{axis}")
    return value


def _range(start: int, end: int, step: int, size: int) -> list[int]:
    """Return the indices of a Slice, whose ends saturate."""
    if step > 0:
        return list(range(size)[slice(start, end, step)])
    low = -size - 1
    first = min(start + size if start < 0 else start, size - 1)
    last = max(end + size if -size <= end < 0 else end, -1) if end > low else -1
    return list(range(first, last, step))


def _crop(build: Lowering, node: Node, value: Value, parts: dict[int, list[int]]) -> Value | None:
    if value.order != NHWC or not parts or not set(parts) <= {2, 3}:
        return None
    borders = []
    for axis in (2, 3):
        indices = parts.get(axis, [0, value.shape[axis] - 1])
        if axis in parts and (not indices or not _is_range(indices, range(indices[0], indices[-1] + 1))):
            return None
        borders.append((indices[0], value.shape[axis] - 1 - indices[-1]))
    return image_value(build, node, build.layer(node, "Cropping2D", value.tensor, cropping=borders), value.not_negative)


@operation("Split", runs=BOTH)
def split(build: Lowering, node: Node) -> list[Value]:
    """A part of the axis for each output."""
    value = build.plain(build.value(node, 0))
    axis = int(node.attrs.get("axis", 0)) % value.rank
    sizes = [build.shape(node, index)[axis] for index in range(len(node.outputs))]
    ends = np.cumsum(sizes).tolist()
    read = [bool(build.finder.readers.get(name)) or name in build.graph.outputs for name in node.outputs]
    parts = [list(range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]
    return [
        take(build, node, value, axis, part, str(index)) if used else value
        for index, (part, used) in enumerate(zip(parts, read, strict=True))
    ]


@operation("Gather", runs=BOTH)
def gather(build: Lowering, node: Node) -> Value:
    """The parts of one axis that constant indices name."""
    value = build.plain(build.value(node, 0))
    indices = build.need_constant(node, 1, "indices")
    axis = int(node.attrs.get("axis", 0)) % value.rank
    if indices.ndim > 1:
        raise Refused(f"has indices of {indices.ndim} dimensions")
    chosen = [int(index) % value.shape[axis] for index in indices.reshape(-1)]
    part = take(build, node, value, axis, chosen, "" if indices.ndim else "one")
    if indices.ndim:
        return part
    order = tuple(one - (one > axis) for one in part.order if one != axis)
    shape = tuple(size for one, size in enumerate(part.shape) if one != axis)
    tensor = build.layer(node, "Reshape", part.tensor, target_shape=[shape[one] for one in order[1:]])
    return Value(tensor, shape, order, part.not_negative)


@operation("Pad", runs=BOTH)
def pad(build: Lowering, node: Node) -> Value:
    """ZeroPadding2D; other numbers and mirrored borders are the CPU's."""
    value = build.plain(build.value(node, 0))
    before, after = _pads(build, node, value)
    mode = node.attrs.get("mode", "constant")
    number = node.attrs.get("value", 0.0)
    if node.version >= 11 and node.input(2):
        number = float(build.need_constant(node, 2, "values").reshape(-1)[0])
    if before[value.order[0]] or after[value.order[0]]:
        raise Refused("adds images to a batch")
    if min(before + after) < 0:
        value, before, after = _cut_pads(build, node, value, before, after)
    sides = [(before[axis], after[axis]) for axis in value.order]
    if not any(before + after):
        return value
    shape = tuple(size + before[axis] + after[axis] for axis, size in enumerate(value.shape))
    zeros = mode == "constant" and number == 0 and value.rank == 4
    if zeros and sides[3] == (0, 0):
        tensor = build.layer(node, "ZeroPadding2D", value.tensor, padding=sides[1:3])
        return dataclasses.replace(same(value, tensor, value.not_negative), shape=shape)
    if zeros and not any(sides[1] + sides[2]):
        indices = [-1] * sides[3][0] + list(range(value.keras_shape[3])) + [-1] * sides[3][1]
        return dataclasses.replace(same(value, choose_channels(build, node, value, indices)), shape=shape)
    if mode == "constant":
        tensor = border_of_numbers(build, node, value.tensor, sides, float(number))
    elif mode in ("edge", "reflect", "wrap"):
        tensor = border_by_index(build, node, value.tensor, sides, mode)
    else:
        raise Refused(f"has mode {mode}")
    positive = value.not_negative and (mode != "constant" or number >= 0)
    return dataclasses.replace(value, tensor=tensor, shape=shape, not_negative=positive)


def _pads(build: Lowering, node: Node, value: Value) -> tuple[list[int], list[int]]:
    given = node.attrs.get("pads") or node.attrs.get("paddings")
    pads = [int(one) for one in (build.need_constant(node, 1, "pads") if node.version >= 11 else given or [])]
    axes = list(range(value.rank))
    if node.input(3):
        axes = [int(axis) % value.rank for axis in build.need_constant(node, 3, "axes")]
    before, after = [0] * value.rank, [0] * value.rank
    for index, axis in enumerate(axes):
        before[axis], after[axis] = pads[index], pads[index + len(axes)]
    return before, after


def _cut_pads(
    build: Lowering, node: Node, value: Value, before: list[int], after: list[int]
) -> tuple[Value, list[int], list[int]]:
    """Cut what negative pads take away."""
    for axis in range(value.rank):
        low, high = max(-before[axis], 0), value.shape[axis] - max(-after[axis], 0)
        value = take(build, node, value, axis, list(range(low, high)), f"cut{axis}")
    return value, [max(one, 0) for one in before], [max(one, 0) for one in after]


@operation("ChannelShuffle", runs=DPU)
def channel_shuffle(build: Lowering, node: Node) -> Value:
    """Channels in another order: a 1 x 1 convolution."""
    value = build.image(node)
    places = np.arange(value.shape[1]).reshape(node.attrs["group"], -1).T.reshape(-1)
    return same(value, choose_channels(build, node, value, places.tolist()), value.not_negative)


@operation("DepthToSpace", runs=DPU)
def depth_to_space(build: Lowering, node: Node) -> Value:
    """Channels become pixels: a transposed convolution of ones and zeros, for the DPU."""
    value = build.image(node)
    block = int(node.attrs["blocksize"])
    channels = value.shape[1] // block**2
    dcr = node.attrs.get("mode", "DCR") == "DCR"
    sizes = (block, block, channels) if dcr else (channels, block, block)
    places = np.arange(value.shape[1]).reshape(sizes).transpose((0, 1, 2) if dcr else (1, 2, 0))
    kernel = np.zeros((block, block, channels, value.shape[1]), np.float32)
    rows, columns, outputs = np.indices(places.shape)
    kernel[rows, columns, outputs, places] = 1
    tensor = build.layer(
        node,
        "Conv2DTranspose",
        value.tensor,
        "",
        [kernel],
        filters=channels,
        kernel_size=block,
        strides=block,
        use_bias=False,
        kernel_initializer="zeros",
    )
    return image_value(build, node, tensor, value.not_negative)


@operation("SpaceToDepth", runs=DPU)
def space_to_depth(build: Lowering, node: Node) -> Value:
    """Pixels become channels: a strided convolution of ones and zeros, for the DPU."""
    value = build.image(node)
    block, channels = int(node.attrs["blocksize"]), value.shape[1]
    kernel = np.zeros((block, block, channels, channels * block**2), np.float32)
    places = np.arange(channels * block**2).reshape(block, block, channels)
    rows, columns, inputs = np.indices(places.shape)
    kernel[rows, columns, inputs, places] = 1
    return image_value(
        build, node, convolve(build, node, value.tensor, kernel, None, strides=block), value.not_negative
    )
