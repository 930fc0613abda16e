"""Convolutions: exact sums, then bias, activation and one rounding.

Weights are OHWI, {multiplier, h, w, c} for depthwise; attributes are width first. A transposed convolution is a
convolution of the input with stride - 1 zeros between its pixels; its weights are stored for that form.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.runtime.program import Node
from softdpu.runtime.reference.activation import activate
from softdpu.runtime.reference.dyadic import Dyadic, from_int8
from softdpu.runtime.reference.registry import Args, float_kernel, integer_kernel

Pads = Tuple[int, int, int, int]  # top, bottom, left, right
Pair = Tuple[int, int]  # height, width


@integer_kernel("conv2d-fix", "depthwise-conv2d-fix")
def conv2d_fix(node: Node, args: Args) -> np.ndarray:
    """out = activate(sum(x * w) + bias)."""
    return _finish(_sum(node, args["input"][0], args["weights"][0], node.pair("stride"), node.pads()), node, args)


@integer_kernel("transposed-conv2d-fix", "transposed-depthwise-conv2d-fix")
def transposed_conv2d_fix(node: Node, args: Args) -> np.ndarray:
    """A convolution of the spread input."""
    x, weights = args["input"][0], args["weights"][0]
    spread, pads = spread_input(x, weights.shape[1:3], node.pair("stride"), node.pair("dilation"), node.pads())
    return _finish(_sum(node, spread, weights, (1, 1), pads), node, args)


def _sum(node: Node, x: np.ndarray, weights: np.ndarray, stride: Pair, pads: Pads) -> np.ndarray:
    """Return the sums of an op's kind; a depthwise one's output channel is c * multiplier + m."""
    if "depthwise" in node.kind:
        return convolve_depthwise(x, weights, stride, node.pair("dilation"), pads)
    group = 1 if node.kind.startswith("transposed") else int(node.attrs.get("group") or 1)
    return convolve(x, weights, stride, node.pair("dilation"), pads, group)


def _finish(sums: np.ndarray, node: Node, args: Args) -> np.ndarray:
    """Add the bias to the sums, exactly, and activate."""
    weights = node.inputs["weights"][0]
    total = Dyadic(sums, node.input.position + weights.position)
    if "bias" in node.inputs:
        total = total + from_int8(args["bias"][0], node.inputs["bias"][0].position)
    return activate(total, node)


def convolve(
    x: np.ndarray, weights: np.ndarray, stride: Pair, dilation: Pair, pads: Pads, group: int = 1
) -> np.ndarray:
    """Return the sums of a convolution: int64[N, H, W, O] of integers, float64 of floats.

    The matrix product runs in float64, which is exact for int8 up to 2**39 terms.
    """
    outputs, kernel = weights.shape[0], weights.shape[1:3]
    if x.shape[3] != weights.shape[3] * group or outputs % group:
        raise SoftdpuError(f"weights {list(weights.shape)} with {group} groups do not fit input {list(x.shape)}")
    columns = _windows(x, kernel, stride, dilation, pads)  # [N, H, W, kh, kw, C]
    parts = []
    for part, filters in zip(np.split(columns, group, axis=5), np.split(weights, group)):
        rows = np.ascontiguousarray(part, np.float64).reshape(*part.shape[:3], -1)
        parts.append(rows @ filters.reshape(len(filters), -1).T.astype(np.float64))
    sums = np.concatenate(parts, axis=3)
    return sums.astype(np.int64) if x.dtype == np.int8 else sums


def convolve_depthwise(x: np.ndarray, weights: np.ndarray, stride: Pair, dilation: Pair, pads: Pads) -> np.ndarray:
    """Return the sums of a depthwise convolution: int64[N, H, W, C * multiplier] of integers, else float64."""
    if x.shape[3] != weights.shape[3]:
        raise SoftdpuError(f"depthwise weights {list(weights.shape)} do not fit input {list(x.shape)}")
    wide: type[Any] = np.int64 if x.dtype == np.int8 else np.float64
    columns = _windows(x, weights.shape[1:3], stride, dilation, pads)
    batch, height, width, rows, cols, channels = columns.shape
    sums = np.zeros((batch, height, width, channels, len(weights)), wide)
    for i in range(rows):
        for j in range(cols):
            sums += columns[:, :, :, i, j, :, None].astype(wide) * weights[:, i, j, :].T.astype(wide)
    return sums.reshape(batch, height, width, -1)


def spread_input(
    x: np.ndarray, kernel: tuple[int, ...], stride: Pair, dilation: Pair, pads: Pads
) -> tuple[np.ndarray, Pads]:
    """Return the input with stride - 1 zeros between its pixels, and the pads of the equal convolution.

    `pads` of a transposed convolution are what is cut off its full output.
    """
    batch, height, width, channels = x.shape
    spread = np.zeros((batch, (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1, channels), x.dtype)
    spread[:, :: stride[0], :: stride[1]] = x
    reach = [(size - 1) * step for size, step in zip(kernel, dilation)]
    top, bottom, left, right = pads
    return spread, (reach[0] - top, reach[0] - bottom, reach[1] - left, reach[1] - right)


def pad_or_crop(x: np.ndarray, pads: Pads, value: float = 0) -> np.ndarray:
    """Return `x` with a border of `value`; negative pads cut."""
    top, bottom, left, right = pads
    grown = [(0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)]
    x = np.pad(x, grown, constant_values=value)
    return x[:, max(-top, 0) : x.shape[1] - max(-bottom, 0), max(-left, 0) : x.shape[2] - max(-right, 0)]


def _windows(x: np.ndarray, kernel: tuple[int, ...], stride: Pair, dilation: Pair, pads: Pads) -> np.ndarray:
    return windows(pad_or_crop(x, pads), kernel, stride, dilation)


def windows(x: np.ndarray, kernel: tuple[int, ...], stride: Pair, dilation: Pair = (1, 1)) -> np.ndarray:
    """Return a view of every window of `x`: [N, H, W, kh, kw, C]."""
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilation)]
    if x.shape[1] < reach[0] or x.shape[2] < reach[1]:
        raise SoftdpuError(f"a window of {reach[0]}x{reach[1]} does not fit an input of {x.shape[1]}x{x.shape[2]}")
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))  # [N, H, W, C, rh, rw]
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def float_pads(node: Node, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Pads:
    """Return the pads of a float op for its pad_mode: SAME as TensorFlow, VALID none, FLOOR and CEIL the attribute.

    CEIL may read past the padded input; the missing rows and columns are part of the pads returned.
    """
    mode = str(node.attrs.get("pad_mode", "FLOOR"))
    size = node.input.shape[1:3]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    if mode == "SAME":
        totals = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(size, stride, reach)]
        return totals[0] // 2, totals[0] - totals[0] // 2, totals[1] // 2, totals[1] - totals[1] // 2
    top, bottom, left, right = (0, 0, 0, 0) if mode == "VALID" else node.pads()
    out = node.output.shape[1:3]
    bottom = max(bottom, (out[0] - 1) * stride[0] + reach[0] - size[0] - top)
    right = max(right, (out[1] - 1) * stride[1] + reach[1] - size[1] - left)
    return top, bottom, left, right


@float_kernel("conv2d", "depthwise-conv2d")
def conv2d(node: Node, args: Args) -> np.ndarray:
    """A convolution in float64."""
    x, weights = args["input"][0], args["weights"][0]
    stride, dilation = node.pair("stride"), node.pair("dilation")
    kernel = (weights.shape[1], weights.shape[2])
    sums = _add_bias(_sum(node, x, weights, stride, float_pads(node, kernel, stride, dilation)), args)
    # Rows and columns that pads of an uneven pad_mode made too many.
    return sums[:, : node.output.shape[1], : node.output.shape[2]]


@float_kernel("transposed-conv2d", "transposed-depthwise-conv2d")
def transposed_conv2d(node: Node, args: Args) -> np.ndarray:
    """A transposed convolution in float64; SAME cuts as TensorFlow does."""
    x, weights = args["input"][0], args["weights"][0]
    stride, dilation = node.pair("stride"), node.pair("dilation")
    kernel = weights.shape[1:3]
    pads = node.pads()
    if node.attrs.get("pad_mode") in ("SAME", "VALID"):
        out = node.output.shape[1:3]
        full = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[1:3], stride, kernel, dilation)]
        cut = [max(size - wanted, 0) for size, wanted in zip(full, out)]
        before = [c // 2 for c in cut] if node.attrs["pad_mode"] == "SAME" else [0, 0]
        pads = (before[0], full[0] - before[0] - out[0], before[1], full[1] - before[1] - out[1])
    spread, around = spread_input(x, kernel, stride, dilation, pads)
    return _add_bias(_sum(node, spread, weights, (1, 1), around), args)


def _add_bias(sums: np.ndarray, args: Args) -> np.ndarray:
    return sums + args["bias"][0] if args.get("bias") else sums
