"""Bilinear resizing in float32, which holds the whole sums exactly until they are divided."""

from __future__ import annotations

import math

import numpy as np

from softdpu.runtime.litert.lowering import Lowering, NotExactError
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.rounding import EXACT, binary, dequantize, store_scaled
from softdpu.runtime.program import Node
from softdpu.runtime.reference.resize import linear_weights

_LARGEST_DENOMINATOR = 2**12  # sums / denominator + 1/2 in float32 stays on its side of a whole number


def interpolate(model: Lowering, node: Node) -> None:
    """floor((sum + 1/4) / denominator * 2**(fo - fi) + 1/2), where sum is a whole number.

    Sums are whole, so a quarter moves a tie up, and nothing else across: float32's rounding of the division is smaller.
    """
    rows, tall = _taps(node, 1)
    cols, wide = _taps(node, 2)
    step = node.input.position - node.output.position
    denominator = tall * wide * 2.0 ** max(step, 0)
    if 128 * tall * wide >= EXACT // 4 or denominator > _LARGEST_DENOMINATOR or step < -7:
        raise NotExactError(f"interpolation in steps of 1/{denominator:.0f}")
    batch, _, width, channels = node.input.shape
    height_out, width_out = node.output.shape[1:3]
    to_whole = model.numbers(2.0**node.input.position, rank=4)
    source = binary(model, Operator.MUL, dequantize(model, node.input), to_whole, node.input.shape)
    source = _blend(model, source, 1, rows, (batch, height_out, width, channels))
    source = _blend(model, source, 2, cols, (batch, height_out, width_out, channels))
    raised = binary(model, Operator.ADD, source, model.numbers(0.25, rank=4), node.output.shape)
    store_scaled(model, node, raised, 2.0**-step / (tall * wide))


Taps = list[tuple[np.ndarray, np.ndarray]]  # (index of an input pixel, its weight) for each output pixel


def _taps(node: Node, axis: int) -> tuple[Taps, int]:
    """Return the two neighbours of each output pixel along an axis, and the denominator of their weights."""
    weights, denominator = linear_weights(node, axis)
    common = math.gcd(denominator, *(int(weight) for weight in np.unique(weights)))
    weights //= common
    first = (weights > 0).argmax(axis=1)
    second = weights.shape[1] - 1 - (weights[:, ::-1] > 0).argmax(axis=1)
    lines = np.arange(len(weights))
    second_weights = np.where(second > first, weights[lines, second], 0)
    return [(first, weights[lines, first]), (second, second_weights)], denominator // common


def _blend(model: Lowering, source: int, axis: int, taps: Taps, shape: tuple[int, ...]) -> int:
    """Return the sum of the neighbours along an axis, each times its weight."""
    parts = []
    for indices, weights in taps:
        picked = model.float32(shape)
        options = option("Gather", axis=axis, batchDims=0)
        model.builder.operator(Operator.GATHER, [source, model.ints(indices)], [picked], options)
        column = weights.astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        parts.append(binary(model, Operator.MUL, picked, model.builder.constant(column), shape))
    return binary(model, Operator.ADD, parts[0], parts[1], shape)
