"""Pooling: maximum, and the DPU's average `sum * n / 2**m`."""

from __future__ import annotations

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.output.text import one_line
from softdpu.runtime.program import Node
from softdpu.runtime.reference.conv import float_pads, pad_or_crop, windows
from softdpu.runtime.reference.dyadic import Dyadic, from_int8
from softdpu.runtime.reference.registry import Args, float_kernel, integer_kernel


@integer_kernel("pool-fix")
def pool_fix(node: Node, args: Args) -> np.ndarray:
    """MAX: the largest number that is no padding. AVG: sum * n / 2**m, whatever part of the window is padding."""
    kind = node.attrs.get("type")
    height, width = node.pair("kernel")
    stride, pads, position = node.pair("stride"), node.pads(), node.input.position
    if kind == "MAX":
        padded = pad_or_crop(args["input"][0], pads, fixed_point.QMIN)
        largest = windows(padded, (height, width), stride).max(axis=(3, 4))
        return from_int8(largest, position).to_int8(node.output.position)
    if kind == "AVG":
        if max(height, width) > 255:
            raise SoftdpuError(f"op '{node.key}' averages over {height}x{width}; the DPU's windows end at 255x255")
        factor, shift = fixed_point.average_pool_factor(height, width)
        padded = pad_or_crop(args["input"][0], pads).astype(np.int64)
        sums = windows(padded, (height, width), stride).sum(axis=(3, 4))
        return Dyadic(sums * factor, position + shift).to_int8(node.output.position)
    raise SoftdpuError(f"op '{node.key}' has pooling type {one_line(kind, 100)}; the runtime has MAX and AVG")


@float_kernel("maxpool2d")
def maxpool2d(node: Node, args: Args) -> np.ndarray:
    """The largest number that is no padding."""
    kernel, stride, pads = window_of(node)
    out = windows(pad_or_crop(args["input"][0], pads, -np.inf), kernel, stride).max(axis=(3, 4))
    return out[:, : node.output.shape[1], : node.output.shape[2]]


@float_kernel("avgpool2d")
def avgpool2d(node: Node, args: Args) -> np.ndarray:
    """The mean in float64, over the whole window or over what is no padding (count_include_pad)."""
    x = args["input"][0].astype(np.float64)
    kernel, stride, pads = window_of(node)
    sums = windows(pad_or_crop(x, pads), kernel, stride).sum(axis=(3, 4))
    counts = np.full_like(sums, kernel[0] * kernel[1])
    if not node.attrs.get("count_include_pad", True):
        counts = windows(pad_or_crop(np.ones_like(x), pads), kernel, stride).sum(axis=(3, 4))
    return (sums / counts)[:, : node.output.shape[1], : node.output.shape[2]]


def window_of(node: Node) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int, int, int]]:
    """Return kernel, stride and pads of a float pooling op; the kernel of a global one is the whole image."""
    if node.attrs.get("global"):
        kernel, stride = (node.input.shape[1], node.input.shape[2]), (1, 1)
    else:
        kernel, stride = node.pair("kernel"), node.pair("stride")
    return kernel, stride, float_pads(node, kernel, stride)
