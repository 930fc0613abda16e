"""Parts of one axis in any order, borders of repeated or constant numbers, sums: slices that are joined or added.

TensorFlow has functions for these, tf.gather and tf.pad, but no stage after the import computes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.registry import Refused

_MOST_PIECES = 1024


def pick(build: Lowering, node: Node, tensor: Any, indices: list[int], place: int, suffix: str = "") -> Any:
    """Return the parts `indices` of the axis `place` of a Keras tensor, in that order.

    Raises:
        Refused: if so many slices are needed that no network could be meant.
    """
    runs = _find_runs(indices)
    if len(runs) > _MOST_PIECES:
        raise Refused(f"takes {len(runs)} pieces of one axis; up to {_MOST_PIECES} are known")
    if len(runs) == 1:
        return _cut(build, node, tensor, runs[0], place, suffix)
    pieces = [_cut(build, node, tensor, run, place, _and(suffix, f"piece{number}")) for number, run in enumerate(runs)]
    return build.function(node, tf.concat, pieces, suffix=suffix, axis=place)


def _and(suffix: str, more: str) -> str:
    return f"{suffix}_{more}" if suffix else more


def _find_runs(indices: list[int]) -> list[range]:
    """Return the indices as stretches of neighbours."""
    runs: list[range] = []
    for index in indices:
        if runs and runs[-1].stop == index:
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
    return runs


def _cut(build: Lowering, node: Node, tensor: Any, run: range, place: int, suffix: str) -> Any:
    if run == range(tensor.shape[place]):
        return tensor
    rank = len(tensor.shape)
    spec = [slice(run.start, run.stop, 1) if axis == place else slice(None) for axis in range(rank)]
    return build.slices(node, tensor, spec, suffix)


def border_by_index(build: Lowering, node: Node, tensor: Any, sides: list[tuple[int, int]], mode: str) -> Any:
    """Return a tensor with borders of its own numbers: `edge`, `reflect` or `wrap`, as numpy.pad has them.

    Args:
        sides: (before, after) of each axis of the Keras tensor.
    """
    for place, pads in enumerate(sides):
        if any(pads):
            size = tensor.shape[place]
            if mode == "reflect" and size == 1:
                raise Refused("mirrors an axis of one pixel")
            indices = np.pad(np.arange(size), pads, mode).tolist()  # type: ignore[call-overload]
            tensor = pick(build, node, tensor, indices, place, f"axis{place}")
    return tensor


def border_of_numbers(build: Lowering, node: Node, tensor: Any, sides: list[tuple[int, int]], number: float) -> Any:
    """Return a tensor with borders of one number."""
    for place, pads in enumerate(sides):
        if not any(pads):
            continue
        suffix = f"axis{place}"
        edge = _cut(build, node, tensor, range(1), place, f"{suffix}_edge")
        zeros = build.function(node, tf.math.multiply, edge, 0.0, suffix=f"{suffix}_zeros")
        pieces = [tensor]
        for which, count in enumerate(pads):
            if count:
                ones = [1] * len(tensor.shape)
                ones[place] = count
                border = np.full(ones, number, np.float32)
                made = build.function(node, tf.math.add, zeros, border, suffix=f"{suffix}_{('before', 'after')[which]}")
                pieces.insert(len(pieces) if which else 0, made)
        tensor = build.function(node, tf.concat, pieces, suffix=suffix, axis=place)
    return tensor


def add_up(build: Lowering, node: Node, tensor: Any, places: list[int], suffix: str) -> Any:
    """Return the sum over axes of a Keras tensor, which stay with the size 1: half is added to half, again and again.

    Sums of real numbers depend on their order, which libraries choose as they like; this one is the same everywhere, so
    that a processor's result is TensorFlow's bit for bit.
    """
    for place in places:
        step = 0
        while (size := tensor.shape[place]) > 1:
            half, name = size // 2, f"{suffix}_{place}_{step}"
            low = _cut(build, node, tensor, range(half), place, f"{name}_low")
            high = _cut(build, node, tensor, range(half, 2 * half), place, f"{name}_high")
            total = build.function(node, tf.math.add, low, high, suffix=name)
            if size % 2:
                rest = _cut(build, node, tensor, range(2 * half, size), place, f"{name}_rest")
                total = build.function(node, tf.concat, [total, rest], suffix=f"{name}_all", axis=place)
            tensor, step = total, step + 1
    return tensor
