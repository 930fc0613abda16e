"""Ops that move bytes: a tensor's zero point goes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import MirrorPadMode

from softdpu.runtime.litert.elementwise import store_table
from softdpu.runtime.litert.interpolation import interpolate
from softdpu.runtime.litert.lowering import Held, Lowering, NotExactError, lowering, scale_of
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.program import Node, Value
from softdpu.runtime.reference.dyadic import from_int8
from softdpu.runtime.reference.movement import BLOCK_KINDS, block_move, pad_values, slices
from softdpu.runtime.reference.reduction import axes
from softdpu.runtime.reference.resize import mode_of, nearest_indices


def move_to_output(model: Lowering, node: Node, value: Value) -> Value:
    """Return a value at the position of the op's output, converting it first where it has another."""
    target = node.output.fix_point
    if value.fix_point == target or target is None or value.fix_point is None:
        return value
    moved = replace(value, key=f"{value.key} at {target}", fix_point=target)
    if moved.key not in model.held:
        table = from_int8(np.arange(-128, 128, dtype=np.int8), value.position).to_int8(target)
        store_table(model, replace(node, key=moved.key, output=moved), value, table)
    return moved


def source_of(model: Lowering, node: Node) -> tuple[Held, Value]:
    """Return the input of an op that moves bytes, at the output's position."""
    if node.output.dtype != np.int8:
        raise NotExactError(f"output {node.output.dtype}")
    value = move_to_output(model, node, node.input)
    return model.get(value), value


def move(model: Lowering, node: Node, code: int, inputs: list[int], held: Held, options: Any = None) -> None:
    """Add an operator whose output holds bytes of its input."""
    output = model.int8(node.output, held.zero)
    model.builder.operator(code, inputs, [output], options)
    model.put(node, output, held.zero, held.positive)


@lowering("upload", "download", "identity")
def identity(model: Lowering, node: Node) -> None:
    """Nothing."""
    _, value = source_of(model, node)
    model.alias(node, value)


@lowering("reshape", "reshape-fix", "flatten", "squeeze")
def reshape(model: Lowering, node: Node) -> None:
    """RESHAPE."""
    held, _ = source_of(model, node)
    put_reshaped(model, node, held.index, held)


def put_reshaped(model: Lowering, node: Node, index: int, held: Held) -> None:
    """Put bytes of what is held, in the shape of the op's output."""
    output = model.reshape(index, model.int8(node.output, held.zero), node.output.shape)
    model.put(node, output, held.zero, held.positive)


@lowering("transpose")
def transpose(model: Lowering, node: Node) -> None:
    """TRANSPOSE."""
    held, _ = source_of(model, node)
    move(model, node, Operator.TRANSPOSE, [held.index, model.ints(node.attr("order"))], held, option("Transpose"))


@lowering("concat", "concat-fix")
def concat(model: Lowering, node: Node) -> None:
    """CONCATENATION, of inputs with one zero point."""
    values = [move_to_output(model, node, value) for value in node.inputs["input"]]
    held = [model.get(value) for value in values]
    zero = held[0].zero if len({h.zero for h in held}) == 1 else 0
    indices = [h.index if h.zero == zero else model.plain(v) for h, v in zip(held, values, strict=True)]
    result = Held(0, zero, all(h.positive for h in held))
    axis = int(node.attr("axis")) % len(node.output.shape)
    move(model, node, Operator.CONCATENATION, indices, result, option("Concatenation", axis=axis))


@lowering("pad", "pad-fix")
def pad(model: Lowering, node: Node) -> None:
    """PAD with zeros, PADV2 with one other constant, or MIRROR_PAD."""
    pads = np.asarray(node.attr("paddings"), np.int32).reshape(-1, 2)
    held, value = source_of(model, node)
    mode = node.attrs.get("mode", "CONSTANT")
    if mode in ("REFLECT", "SYMMETRIC"):
        options = option("MirrorPad", mode=getattr(MirrorPadMode, mode))
        move(model, node, Operator.MIRROR_PAD, [held.index, model.ints(pads)], held, options)
        return
    constants = np.unique(pad_values(node, np.dtype(np.int8), len(pads))[pads > 0])
    if mode != "CONSTANT" or len(constants) > 1 or node.input.position != node.output.position:
        raise NotExactError(f"mode {mode} with constants {constants.tolist()}")
    if not constants.any():
        held = Held(model.plain(value), 0, held.positive)
        move(model, node, Operator.PAD, [held.index, model.ints(pads)], held, option("Pad"))
        return
    constant = model.builder.constant(constants.astype(np.int8), scale_of(value.position))
    held = Held(model.plain(value), 0, held.positive and bool(constants[0] >= 0))
    move(model, node, Operator.PADV2, [held.index, model.ints(pads), constant], held, option("PadV2"))


@lowering("strided_slice", "strided_slice-fix")
def strided_slice(model: Lowering, node: Node) -> None:
    """STRIDED_SLICE with begins and ends inside of the input."""
    held, value = source_of(model, node)
    parts = [part.indices(size) for part, size in zip(slices(node), value.shape, strict=True)]
    begin, end, strides = (model.ints(numbers) for numbers in zip(*parts, strict=True))
    if any(step < 0 for _, _, step in parts):
        raise NotExactError("negative strides")
    move(model, node, Operator.STRIDED_SLICE, [held.index, begin, end, strides], held, option("StridedSlice"))


@lowering(*BLOCK_KINDS)
def blocks(model: Lowering, node: Node) -> None:
    """RESHAPE, TRANSPOSE of six axes, RESHAPE."""
    held, value = source_of(model, node)
    shape, order = block_move(node)
    cut = model.reshape(held.index, model.int8(value, held.zero, shape), shape)
    moved = model.int8(value, held.zero, tuple(shape[axis] for axis in order))
    model.builder.operator(Operator.TRANSPOSE, [cut, model.ints(order)], [moved], option("Transpose"))
    put_reshaped(model, node, moved, held)


@lowering("upsample-fix", "downsample-fix", "resize")
def resize(model: Lowering, node: Node) -> None:
    """Rows and columns by GATHER; interpolation as sums of two neighbours with whole weights."""
    if node.output.dtype != np.int8:
        raise NotExactError(f"output {node.output.dtype}")
    if mode_of(node) != "NEAREST":
        interpolate(model, node)
        return
    held, value = source_of(model, node)
    rows, cols = nearest_indices(node, 1), nearest_indices(node, 2)
    tall = model.int8(node.output, held.zero, (value.shape[0], len(rows), *value.shape[2:]))
    model.builder.operator(
        Operator.GATHER, [held.index, model.ints(rows)], [tall], option("Gather", axis=1, batchDims=0)
    )
    move(model, node, Operator.GATHER, [tall, model.ints(cols)], held, option("Gather", axis=2, batchDims=0))


@lowering("reduction_max-fix", "reduction_max")
def reduction_max(model: Lowering, node: Node) -> None:
    """REDUCE_MAX."""
    held, _ = source_of(model, node)
    options = option("Reducer", keepDims=bool(node.attrs.get("keep_dims", False)))
    move(model, node, Operator.REDUCE_MAX, [held.index, model.ints(axes(node))], held, options)
