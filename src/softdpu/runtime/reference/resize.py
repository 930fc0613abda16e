"""Resizing: which input pixels an output pixel takes, and with what weights. Places are exact fractions."""

from __future__ import annotations

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node
from softdpu.runtime.reference.movement import move_to_output
from softdpu.runtime.reference.registry import Args, float_kernel, integer_kernel

KINDS = ("upsample-fix", "downsample-fix", "resize")


def nearest_indices(node: Node, axis: int) -> np.ndarray:
    """Return the input row (or column) of each output row (or column): int64[output size].

    The floor of the place, or half up with align_corners; with half_pixel_centers floor((i + 0.5) * scale), as
    TensorFlow picks.
    """
    over, under = _scale(node, axis)
    i = np.arange(node.output.shape[axis], dtype=np.int64)
    if node.attrs.get("align_corners"):
        picked = (2 * i * over + under) // (2 * under)
    elif node.attrs.get("half_pixel_centers"):
        picked = (2 * i + 1) * over // (2 * under)
    else:
        picked = i * over // under
    return np.clip(picked, 0, node.input.shape[axis] - 1)


def linear_weights(node: Node, axis: int) -> tuple[np.ndarray, int]:
    """Return the matrix that interpolates along an axis, int64[output size, input size], and its denominator.

    The place is (i + 0.5) * scale - 0.5 with half_pixel_centers, else i * scale; before the first and after the last
    pixel it is taken as theirs.
    """
    over, under = _scale(node, axis)
    size, wanted = node.input.shape[axis], node.output.shape[axis]
    i = np.arange(wanted, dtype=np.int64)
    centred = bool(node.attrs.get("half_pixel_centers"))
    numerator, denominator = ((2 * i + 1) * over - under, 2 * under) if centred else (i * over, under)
    numerator = np.clip(numerator, 0, (size - 1) * denominator)
    lower = numerator // denominator
    part = numerator - lower * denominator
    weights = np.zeros((wanted, size), np.int64)
    np.add.at(weights, (i, lower), denominator - part)
    np.add.at(weights, (i, np.minimum(lower + 1, size - 1)), part)
    return weights, denominator


def _scale(node: Node, axis: int) -> tuple[int, int]:
    """Return in / out as a fraction, or (in - 1) / (out - 1) with align_corners."""
    size, wanted = node.input.shape[axis], node.output.shape[axis]
    return (size - 1, wanted - 1) if node.attrs.get("align_corners") and wanted > 1 else (size, wanted)


def mode_of(node: Node) -> str:
    """Return NEAREST or BILINEAR."""
    mode = str(node.attrs.get("mode") or "NEAREST")
    if mode not in ("NEAREST", "BILINEAR"):
        raise SoftdpuError(f"op '{node.key}' resizes by mode {mode}; the runtime has NEAREST and BILINEAR")
    return mode


@integer_kernel(*KINDS)
def resize_fix(node: Node, args: Args) -> np.ndarray:
    """NEAREST picks pixels; BILINEAR sums with exact integer weights, divides once, and rounds half up."""
    q = args["input"][0]
    if mode_of(node) == "NEAREST":
        return move_to_output(_pick(q, node), node.input, node)
    sums, denominator = _interpolate(q.astype(np.int64), node)
    return fixed_point.quantize(
        np.ldexp(sums / denominator, -node.input.position), node.output.position, fixed_point.HALF_UP
    )


@float_kernel(*KINDS)
def resize_float(node: Node, args: Args) -> np.ndarray:
    """NEAREST picks pixels; BILINEAR interpolates numbers of float32 as TensorFlow does, others in float64."""
    x = args["input"][0]
    if mode_of(node) == "NEAREST":
        return _pick(x, node)
    if x.dtype == np.float32:
        return _interpolate_float32(x, node)
    sums, denominator = _interpolate(x.astype(np.float64), node)
    return np.asarray(sums / denominator)


def _interpolate_float32(x: np.ndarray, node: Node) -> np.ndarray:
    """Return first + (second - first) * part along columns, then rows, each step rounded to float32.

    Steps of 1/10 of a pixel are no numbers of float32: only the same steps round a tie the same way.
    """
    (top, bottom, down), (left, right, across) = _neighbours(node, 1), _neighbours(node, 2)
    between = across[:, np.newaxis]
    rows = [x[:, row][:, :, left] + (x[:, row][:, :, right] - x[:, row][:, :, left]) * between for row in (top, bottom)]
    return np.asarray(rows[0] + (rows[1] - rows[0]) * down[:, np.newaxis, np.newaxis])


def _neighbours(node: Node, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each output row (or column) the two it lies between and how far behind the first, as float32."""
    over, under = _scale(node, axis)
    scale, half = np.float32(over) / np.float32(under), np.float32(0.5)
    i = np.arange(node.output.shape[axis], dtype=np.float32)
    place = (i + half) * scale - half if node.attrs.get("half_pixel_centers") else i * scale
    lower = np.maximum(np.floor(place).astype(np.int64), 0)
    upper = np.minimum(np.ceil(place).astype(np.int64), node.input.shape[axis] - 1)
    return lower, np.maximum(upper, 0), place - np.floor(place)


def _interpolate(x: np.ndarray, node: Node) -> tuple[np.ndarray, int]:
    (rows, over_rows), (cols, over_cols) = linear_weights(node, 1), linear_weights(node, 2)
    tall = np.einsum("hi,nijc->nhjc", rows, x)
    return np.einsum("wj,nhjc->nhwc", cols, tall), over_rows * over_cols


def _pick(x: np.ndarray, node: Node) -> np.ndarray:
    return x[:, nearest_indices(node, 1)][:, :, nearest_indices(node, 2)]
