"""Ops that move numbers and leave them as they are, except that int8 may change its position on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.qdq.emit import Made, axis_in, common_layout, emitter
from softdpu.export.qdq.qdq_graph import FLAT, NCHW, NHWC, QdqGraph
from softdpu.export.source import is_integer
from softdpu.runtime.program import Node, Value
from softdpu.runtime.reference.movement import BLOCK_KINDS, block_move, pad_values, slices


def _own(value: Value) -> str:
    """Return the layout with the DPU's order of axes."""
    return NHWC if len(value.shape) == 4 else FLAT


def _is_pixel(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[1:3] == (1, 1)


def _target(shape: tuple[int, ...], source: tuple[int, ...]) -> list[int]:
    """Return the shape of a Reshape: 0 keeps the batch, which may be any."""
    if shape[:1] != source[:1]:
        raise SoftdpuError(
            f"a reshape from {list(source)} to {list(shape)} changes the batch: ONNX's batch is free here"
        )
    return [0, *shape[1:]]


@emitter("reshape", "reshape-fix", "flatten", "squeeze")
def reshape(g: QdqGraph, node: Node) -> Made:
    """Reshape in the DPU's order of numbers; that of a single pixel is the same in every layout."""
    source, shape = node.input, node.output.shape
    layout = NCHW if _is_pixel(source.shape) and g.layout_of(source) == NCHW else _own(source)
    wanted, made = shape, _own(node.output)
    if _is_pixel(shape):
        wanted, made = (shape[0], shape[3], 1, 1), NCHW
    tensor = add_reshape(g, g.read_real(source, layout), wanted, source.shape, node.key)
    return g.move(tensor, node), made


def add_reshape(g: QdqGraph, tensor: str, shape: tuple[int, ...], source: tuple[int, ...], name: str) -> str:
    """Add a Reshape that keeps the batch."""
    more: dict[str, Any] = {"allowzero": 0} if g.opset >= 14 else {}
    return g.node("Reshape", [tensor, g.ints(f"{name}_shape", _target(shape, source))], name, **more)


@emitter("transpose")
def transpose(g: QdqGraph, node: Node) -> Made:
    """Transpose."""
    order = [int(axis) for axis in node.attr("order")]
    tensor = g.node("Transpose", [g.read_real(node.input, _own(node.input))], node.key, perm=order)
    return g.move(tensor, node), _own(node.output)


@emitter("concat", "concat-fix")
def concat(g: QdqGraph, node: Node) -> Made:
    """Concat; an input at another position is brought to the output's first."""
    values = node.inputs["input"]
    layout = common_layout(g, values)
    parts = []
    for value in values:
        part = g.read_real(value, layout)
        if is_integer(node.output) and value.fix_point not in (None, node.output.position):
            part = g.pair(g.half_up(part, value.position, node), node.output.position)
        parts.append(part)
    axis = axis_in(int(node.attr("axis")), len(node.output.shape), layout)
    return g.node("Concat", parts, node.key, axis=axis), layout


@emitter("pad", "pad-fix")
def pad(g: QdqGraph, node: Node) -> Made:
    """Pad with one constant, by reflection, or with the edge once more, which is symmetric by one."""
    pads = np.asarray(node.attr("paddings"), int).reshape(-1, 2)
    mode = str(node.attrs.get("mode", "CONSTANT"))
    rank, layout = len(pads), g.layout_of(node.input)
    order = [0, 3, 1, 2] if layout == NCHW else list(range(rank))
    inputs = [
        g.read_real(node.input, layout),
        g.ints(f"{node.key}_pads", [*pads[order, 0].tolist(), *pads[order, 1].tolist()]),
    ]
    if mode == "REFLECT":
        return g.move(g.node("Pad", inputs, node.key, mode="reflect"), node), layout
    if mode == "SYMMETRIC" and pads.max() <= 1:
        return g.move(g.node("Pad", inputs, node.key, mode="edge"), node), layout
    integers = is_integer(node.input)
    values = np.unique(pad_values(node, np.dtype(np.int8 if integers else np.float32), rank)[pads > 0])
    if mode != "CONSTANT" or len(values) > 1:
        raise SoftdpuError(f"op '{node.key}' pads by mode {mode} with {values.tolist()}: no equivalent in ONNX")
    border = float(values[0]) if len(values) else 0.0
    border = border * 2.0**-node.input.position if integers else border
    inputs.append(g.number(f"{node.key}_value", border))
    return g.move(g.node("Pad", inputs, node.key, mode="constant"), node), layout


@emitter("strided_slice", "strided_slice-fix")
def strided_slice(g: QdqGraph, node: Node) -> Made:
    """Slice, of every axis but the batch."""
    layout, rank = g.layout_of(node.input), len(node.input.shape)
    parts = [part.indices(size) for part, size in zip(slices(node), node.input.shape, strict=True)]
    if parts[0] != (0, node.input.shape[0], 1):
        raise SoftdpuError(f"op '{node.key}' slices the batch, which is free in ONNX")
    if any(step < 0 for _, _, step in parts):
        raise SoftdpuError(f"op '{node.key}' has negative strides, which have no equivalent in ONNX here")
    axes = [axis_in(axis, rank, layout) for axis in range(1, rank)]
    columns = [list(column) for column in zip(*parts[1:], strict=True)]
    names = ("starts", "ends", "axes", "steps")
    numbers = (columns[0], columns[1], axes, columns[2])
    extra = [g.ints(f"{node.key}_{name}", values) for name, values in zip(names, numbers, strict=True)]
    tensor = g.node("Slice", [g.read_real(node.input, layout), *extra], node.key)
    return g.move(tensor, node), layout


@emitter(*BLOCK_KINDS)
def blocks(g: QdqGraph, node: Node) -> Made:
    """Reshape, Transpose of six axes, Reshape."""
    shape, order = block_move(node)
    cut = add_reshape(g, g.read_real(node.input, NHWC), shape, node.input.shape, f"{node.key}_cut")
    turned = g.node("Transpose", [cut], f"{node.key}_turned", perm=list(order))
    whole = add_reshape(g, turned, node.output.shape, shape, node.key)
    return g.move(whole, node), NHWC


@emitter("cast")
def cast(g: QdqGraph, node: Node) -> Made:
    """Nothing, between floats."""
    if node.output.dtype.kind != "f":
        raise SoftdpuError(f"op '{node.key}' casts to {node.output.dtype}, which has no equivalent in ONNX here")
    layout = g.layout_of(node.input)
    return g.node("Identity", [g.read_real(node.input, layout)], node.key), layout


@emitter("matmul", "inner-product")
def matmul(g: QdqGraph, node: Node) -> Made:
    """MatMul of two matrices, or Gemm with constant weights."""
    if node.kind == "inner-product":
        weights = g.array(node.inputs["weights"][0])
        rows = weights.reshape(weights.shape[0], -1)
        source = add_reshape(
            g,
            g.read_real(node.input, _own(node.input)),
            (node.input.shape[0], rows.shape[1]),
            node.input.shape,
            f"{node.key}_rows",
        )
        inputs = [source, g.weights(node.inputs["weights"][0], rows)]
        inputs += [g.weights(value, g.array(value).reshape(-1)) for value in node.inputs.get("bias", ())]
        return g.node("Gemm", inputs, node.key, alpha=1.0, beta=1.0, transA=0, transB=1), FLAT
    sides = []
    for value, flag in zip(node.inputs["input"], ("transpose_a", "transpose_b"), strict=True):
        side = g.read_real(value, _own(value))
        if node.attrs.get(flag):
            order = list(range(len(value.shape)))
            order[-2:] = order[:-3:-1]
            side = g.node("Transpose", [side], f"{node.key}_{flag}", perm=order)
        sides.append(side)
    made = g.node("MatMul", sides, node.key)
    for value in node.inputs.get("bias", ()):
        made = g.node("Add", [made, g.read_real(value, _own(value))], f"{node.key}_bias")
    return made, _own(node.output)
