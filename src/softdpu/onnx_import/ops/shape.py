"""What changes a tensor's axes and no number: most of it costs nothing, because axes only get other names."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node, Shape
from softdpu.onnx_import.registry import BOTH, CPU, NOWHERE, Refused, operation
from softdpu.onnx_import.value import Value

Groups = list[tuple[list[int], list[int]]]  # axes of the input, and those of the output that hold the same numbers
_MOST_REPEATS = 1024
_KEEP_MIXED = ("Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Elu", "Swish", "BatchNormalization", "HardSigmoid")


@operation("Transpose", runs=NOWHERE)
def transpose(build: Lowering, node: Node) -> Value:
    """The axes get other places in `order`; what needs them elsewhere moves them."""
    value = build.value(node, 0)
    turn = list(node.attrs.get("perm") or range(value.rank)[::-1])
    if turn == list(range(value.rank)):
        return value
    value = build.plain(value)
    order = tuple(turn.index(axis) for axis in value.order)
    return dataclasses.replace(value, shape=tuple(value.shape[axis] for axis in turn), order=order)


@operation("Reshape", "Flatten", "Squeeze", "Unsqueeze", runs=BOTH)
def reshape(build: Lowering, node: Node) -> Value:
    """Reshape or Flatten; a flattened image keeps Keras' order if matrix products alone read it."""
    value = build.value(node, 0)
    out = build.shape(node)
    if out == value.shape:
        return value
    value = build.plain(value)
    batch = _place_of_batch(value, out)
    groups = _group_axes(value.shape, out, value.order[0], batch)
    order, keras_groups = _arrange_axes(value, groups)
    if order != value.order and len(out) == 2 and batch == 0 and only_dense(build, node.outputs[0]):
        return _mix(build, node, value, out)
    value = build.reorder(value, order, "order", node)
    result = (batch, *(axis for _, axes in keras_groups for axis in axes))
    sizes = [out[axis] for axis in result[1:]]
    if len(out) == 2:
        tensor = build.layer(node, "Flatten", value.tensor)
    elif sizes == list(value.tensor.shape[1:]):
        tensor = value.tensor
    else:
        tensor = build.layer(node, "Reshape", value.tensor, target_shape=sizes)
    return Value(tensor, out, result, value.not_negative)


def _mix(build: Lowering, node: Node, value: Value, out: Shape) -> Value:
    places = np.arange(math.prod(out[1:])).reshape(value.shape[1:])
    mixed = places.transpose([axis - 1 for axis in value.order[1:]]).reshape(-1)
    tensor = build.layer(node, "Flatten", value.tensor)
    return Value(tensor, out, (0, 1), value.not_negative, mixed)


def only_dense(build: Lowering, name: str) -> bool:
    """Tell whether all that read a vector are matrix products with constants, perhaps behind activations."""
    if name in build.graph.outputs:
        return False
    for reader in build.finder.readers.get(name, []):
        constant = reader.op in ("Gemm", "MatMul", "Dense") and reader.inputs[0] == name
        if constant and build.finder.constant(reader.inputs[1]) is not None and not reader.attrs.get("transA"):
            continue
        shapes = [build.graph.shapes.get(one) for one in (name, reader.outputs[0])]
        same = reader.op in ("Reshape", "Flatten") and shapes[0] == shapes[1]
        if not (reader.op in _KEEP_MIXED or same) or not only_dense(build, reader.outputs[0]):
            return False
    return True


def _place_of_batch(value: Value, out: Shape) -> int:
    """Return the axis of the output that the images of a batch are counted on."""
    batch = value.order[0]
    before = math.prod(value.shape[:batch])
    for place, size in enumerate(out):
        if math.prod(out[:place]) == before and size == value.shape[batch]:
            return place
    raise Refused(f"reshapes across the images of a batch, {value.shape} to {out}")


def _group_axes(source: Shape, out: Shape, batch: int, new_batch: int) -> Groups:
    """Return which axes become which, batch left out."""
    before = _match_axes(source, out, range(batch), range(new_batch))
    behind = _match_axes(source, out, range(batch + 1, len(source)), range(new_batch + 1, len(out)))
    return before + behind


def _match_axes(source: Shape, out: Shape, inside: range, outside: range) -> Groups:
    groups: Groups = []
    left, right = list(inside), list(outside)
    while left and right:
        group = ([left.pop(0)], [right.pop(0)])
        while True:
            one, other = (
                math.prod(shape[axis] for axis in axes) for shape, axes in zip((source, out), group, strict=True)
            )
            if one == other:
                break
            short = 0 if one < other else 1
            rest = (left, right)[short]
            if not rest:
                raise Refused(f"reshapes {source} to {out}, which do not fit")
            group[short].append(rest.pop(0))
        groups.append(group)
    if left or right:
        groups.append((left, right))
    return groups


def _arrange_axes(value: Value, groups: Groups) -> tuple[tuple[int, ...], Groups]:
    """Return an order of the axes in which each group lies together, and the groups in that order.

    Axes of size 1 can stand anywhere, so a group of them alone comes first; images then have their channels last.
    """

    def first_place(group: tuple[list[int], list[int]]) -> int:
        places = [value.order.index(axis) for axis in group[0] if value.shape[axis] > 1]
        return min(places, default=0)

    arranged = sorted(groups, key=first_place)
    order = (value.order[0], *(axis for axes, _ in arranged for axis in axes))
    current = [axis for axis in value.order[1:] if value.shape[axis] > 1]
    if [axis for axis in order[1:] if value.shape[axis] > 1] == current:
        return value.order, arranged  # a Reshape alone does it
    return order, arranged


@operation("Expand", runs=CPU)
def expand(build: Lowering, node: Node) -> Value:
    """Repeats numbers along axes of size 1."""
    value = build.plain(build.value(node, 0))
    out = build.shape(node)
    if out == value.shape:
        return value
    if len(out) != value.rank or out[value.order[0]] != value.shape[value.order[0]]:
        raise Refused(f"expands {value.shape} to {out}")
    ones = np.ones([1, *(out[axis] for axis in value.order[1:])], np.float32)
    tensor = build.function(node, tf.math.multiply, value.tensor, ones)
    return Value(tensor, out, value.order, value.not_negative)


@operation("Tile", runs=CPU)
def tile(build: Lowering, node: Node) -> Value:
    """Repeats a tensor."""
    value = build.plain(build.value(node, 0))
    repeats = [int(number) for number in build.need_constant(node, 1, "repeats")]
    if repeats[value.order[0]] != 1:
        raise Refused("repeats the images of a batch")
    if min(repeats) < 1 or max(repeats) > _MOST_REPEATS:
        raise Refused(f"repeats a tensor {max(repeats)} times")
    tensor = value.tensor
    for place, axis in enumerate(value.order):
        if repeats[axis] > 1:
            tensor = build.function(node, tf.concat, [tensor] * repeats[axis], suffix=f"axis{place}", axis=place)
    return Value(tensor, build.shape(node), value.order, value.not_negative)
