"""Reductions over axes."""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.picking import add_up
from softdpu.onnx_import.patterns import read_axes
from softdpu.onnx_import.registry import BOTH, FLOAT, Refused, operation
from softdpu.onnx_import.value import NHWC, Value

_FUNCTIONS = {
    "ReduceMean": tf.math.reduce_mean,
    "ReduceSum": tf.math.reduce_sum,
    "ReduceMax": tf.math.reduce_max,
    "ReduceProd": tf.math.reduce_prod,
    "ReduceLogSumExp": tf.math.reduce_logsumexp,
}
_WRITTEN_OUT = ("ReduceMin", "ReduceL2", "ReduceL1", "ReduceSumSquare")
_IN_FLOAT = ("ReduceProd", "ReduceLogSumExp")
_LAYERS = {"ReduceMean": "GlobalAveragePooling2D", "ReduceMax": "GlobalMaxPooling2D"}


@operation(*_IN_FLOAT, runs=FLOAT)
@operation(*_WRITTEN_OUT, *(kind for kind in _FUNCTIONS if kind not in _IN_FLOAT), runs=BOTH)
def reduce(build: Lowering, node: Node) -> Value:
    """Global pooling where rows and columns are reduced, else a function of the CPU."""
    value = build.plain(build.value(node, 0))
    if node.input(1) and build.constant(node, 1) is None:
        raise Refused("has axes that are computed, not constant")
    axes = read_axes(build.finder, node, value.rank)
    if not axes or (build.constant(node, 1) is not None and build.constant(node, 1).size == 0):  # type: ignore[union-attr]
        return value if node.attrs.get("noop_with_empty_axes") else _reduce(build, node, value, list(range(value.rank)))
    return _reduce(build, node, value, axes)


def _reduce(build: Lowering, node: Node, value: Value, axes: list[int]) -> Value:
    keep = bool(node.attrs.get("keepdims", 1))
    if value.order[0] in axes:
        raise Refused("reduces over the images of a batch")
    positive = (value.not_negative and node.op != "ReduceLogSumExp") or node.op in _WRITTEN_OUT[1:]
    if value.rank == 4 and axes == [2, 3] and value.order == NHWC and node.op in _LAYERS:
        tensor = build.layer(node, _LAYERS[node.op], value.tensor, keepdims=keep)
    else:
        places = sorted(value.keras_axis(axis) for axis in axes)
        tensor = _compute(build, node, value.tensor, {"axis": places, "keepdims": keep})
    return _squeeze(value, tensor, axes, keep, positive)


def _compute(build: Lowering, node: Node, tensor: Any, how: dict[str, Any]) -> Any:
    """Return the reduction; what later stages have no function for is written with those that they have."""
    if node.op in _FUNCTIONS:
        return build.function(node, _FUNCTIONS[node.op], tensor, **how)
    if node.op == "ReduceMin":
        less = build.function(node, tf.math.negative, tensor, suffix="less")
        most = build.function(node, tf.math.reduce_max, less, suffix="max", **how)
        return build.function(node, tf.math.negative, most)
    if node.op == "ReduceL1":
        less = build.function(node, tf.math.negative, tensor, suffix="less")
        sizes = build.function(node, tf.math.maximum, tensor, less, suffix="sizes")
        return build.function(node, tf.math.reduce_sum, sizes, **how)
    squares = build.function(node, tf.math.multiply, tensor, tensor, suffix="squares")
    total = add_up(build, node, squares, how["axis"], "squares")
    if node.op == "ReduceL2":
        total = build.function(node, tf.math.sqrt, total, suffix="root" if not how["keepdims"] else "")
    return total if how["keepdims"] else build.function(node, tf.squeeze, total, axis=how["axis"])


def _squeeze(value: Value, tensor: Any, axes: list[int], keep: bool, positive: bool) -> Value:
    """Return the value of a tensor in which `axes` have the size 1, or are gone."""
    if keep:
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        return Value(tensor, shape, value.order, positive)
    left = [axis for axis in range(value.rank) if axis not in axes]
    order = tuple(left.index(axis) for axis in value.order if axis in left)
    return Value(tensor, tuple(value.shape[axis] for axis in left), order, positive)


@operation("ArgMax", runs=FLOAT)
def arg_max(build: Lowering, node: Node) -> Value:
    """The place of the largest number, a whole number."""
    value = build.plain(build.value(node, 0))
    axis = int(node.attrs.get("axis", 0)) % value.rank
    place = value.keras_axis(axis)
    if place == 0 or node.attrs.get("select_last_index"):
        raise Refused("is over the images of a batch, or asks for the last of equals")
    tensor = build.function(node, tf.math.argmax, value.tensor, axis=place)
    gone = _squeeze(value, tensor, [axis], False, False)
    if not node.attrs.get("keepdims", 1):
        return gone
    tensor = build.function(node, tf.expand_dims, tensor, axis=place, suffix="axis")
    return _squeeze(value, tensor, [axis], True, False)
