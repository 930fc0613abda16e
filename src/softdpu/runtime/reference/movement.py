"""Ops that move numbers and leave them as they are, except that integers may change their position on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.runtime.program import Node, Value
from softdpu.runtime.reference.dyadic import from_int8
from softdpu.runtime.reference.registry import Args, any_kernel


def move_to_output(q: np.ndarray, source: Value, node: Node) -> np.ndarray:
    """Return integers at the position of the op's output, rounded half up where it differs."""
    target = node.output.fix_point
    if q.dtype != np.int8 or target is None or source.fix_point in (None, target):
        return q
    return from_int8(q, source.position).to_int8(target)


@any_kernel("upload", "download", "identity", "reshape", "reshape-fix", "flatten", "squeeze")
def same_order(node: Node, args: Args) -> np.ndarray:
    """The same numbers in the same order, in the output's shape."""
    x = args["input"][0]
    if x.size != int(np.prod(node.output.shape)):
        raise SoftdpuError(f"op '{node.key}' cannot give {list(x.shape)} the shape {list(node.output.shape)}")
    return move_to_output(x, node.input, node).reshape(node.output.shape)


@any_kernel("concat", "concat-fix")
def concat(node: Node, args: Args) -> np.ndarray:
    """The inputs one after the other along `axis`."""
    parts = [move_to_output(x, value, node) for x, value in zip(args["input"], node.inputs["input"])]
    return np.concatenate(parts, axis=int(node.attr("axis")))


@any_kernel("stack")
def stack(node: Node, args: Args) -> np.ndarray:
    """The inputs side by side on a new axis."""
    return np.stack(args["input"], axis=int(node.attr("axis")))


@any_kernel("transpose")
def transpose(node: Node, args: Args) -> np.ndarray:
    """Axes in a new order."""
    return np.ascontiguousarray(args["input"][0].transpose(node.attr("order")))


_PAD_MODES: dict[str, Any] = {"REFLECT": "reflect", "SYMMETRIC": "symmetric"}


@any_kernel("pad", "pad-fix")
def pad(node: Node, args: Args) -> np.ndarray:
    """A border of constants or of mirrored numbers."""
    x = args["input"][0]
    pads = np.asarray(node.attr("paddings"), int).reshape(-1, 2)
    mode = node.attrs.get("mode", "CONSTANT")
    if mode == "CONSTANT":
        values = pad_values(node, x.dtype, len(pads))
        return move_to_output(np.pad(x, pads, constant_values=values), node.input, node)
    if mode not in _PAD_MODES:
        raise SoftdpuError(f"op '{node.key}' pads by mode {mode}; the runtime has CONSTANT, REFLECT and SYMMETRIC")
    return move_to_output(np.pad(x, pads, mode=_PAD_MODES[mode]), node.input, node)


def pad_values(node: Node, dtype: np.dtype[Any], rank: int) -> np.ndarray:
    """Return the constants of a pad op, [rank, 2]: its attribute is none, one for all, one an axis or one a side."""
    values = node.attrs.get("constant_values") or [0]
    values = np.frombuffer(values, np.int8) if isinstance(values, bytes) else np.asarray(values, dtype)
    if values.size == 1:
        return np.full((rank, 2), values[0])
    if values.size not in (rank, 2 * rank):
        raise SoftdpuError(f"op '{node.key}' has {values.size} constant_values, expected 1, {rank} or {2 * rank}")
    return np.broadcast_to(values.reshape(rank, -1), (rank, 2))


def slices(node: Node) -> tuple[slice, ...]:
    """Return the slices of a strided_slice op, an end past the input taken as the input's."""
    begins, ends = node.attr("begin"), node.attr("end")
    strides = node.attrs.get("strides") or [1] * len(begins)
    if not len(begins) == len(ends) == len(strides):
        raise SoftdpuError(f"op '{node.key}': begin, end and strides must have as many numbers as each other")
    return tuple(slice(int(b), int(e), int(s)) for b, e, s in zip(begins, ends, strides))


@any_kernel("strided_slice", "strided_slice-fix")
def strided_slice(node: Node, args: Args) -> np.ndarray:
    """Every stride-th number from begin to before end, by axis."""
    return move_to_output(np.ascontiguousarray(args["input"][0][slices(node)]), node.input, node)


BLOCK_KINDS = ("pixel-shuffle", "pixel-shuffle-fix", "gstiling", "tile-fix")


def block_move(node: Node) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape to cut the input into and the order of its axes that make an op between channels and blocks.

    gstiling and tile-fix: blocks of stride x stride pixels become channels, (row, column, channel), or back.
    pixel-shuffle: channels (channel, row, column) become blocks of scale x scale pixels, or back. The attributes
    `reverse` and `upscale` tell the direction; the shapes tell it too, and surely.
    """
    batch, height, width, channels = node.input.shape
    tiles = node.kind in ("gstiling", "tile-fix")
    step = int(node.attr("stride" if tiles else "scale"))
    if node.output.shape[3] < channels:
        inner = channels // step**2
        if tiles:
            return (batch, height, width, step, step, inner), (0, 1, 3, 2, 4, 5)
        return (batch, height, width, inner, step, step), (0, 1, 4, 2, 5, 3)
    blocks = (batch, height // step, step, width // step, step, channels)
    return blocks, (0, 1, 3, 2, 4, 5) if tiles else (0, 1, 3, 5, 2, 4)


@any_kernel(*BLOCK_KINDS)
def blocks(node: Node, args: Args) -> np.ndarray:
    """Channels become blocks of pixels, or back."""
    shape, order = block_move(node)
    moved = np.ascontiguousarray(args["input"][0].reshape(shape).transpose(order)).reshape(node.output.shape)
    return move_to_output(moved, node.input, node)
