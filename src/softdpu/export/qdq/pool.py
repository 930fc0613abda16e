"""Pooling, reductions and resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.qdq.conv import average_as_conv
from softdpu.export.qdq.emit import Made, axis_in, emitter
from softdpu.export.qdq.qdq_graph import FLAT, NCHW, QdqGraph
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node
from softdpu.runtime.reference.pool import window_of
from softdpu.runtime.reference.reduction import axes
from softdpu.runtime.reference.resize import linear_weights, mode_of


@emitter("pool-fix")
def pool(g: QdqGraph, node: Node) -> Made:
    """MaxPool, or AveragePool and the factor by which the DPU's average is not the mean.

    An average that also changes the position is a convolution: NPU compilers want one position around a pool.
    """
    kernel, stride, pads = node.pair("kernel"), node.pair("stride"), node.pads()
    if node.attrs.get("type") == "MAX":
        return g.move(_max_pool(g, node, kernel, stride, pads), node), NCHW
    if node.attrs.get("type") != "AVG":
        raise SoftdpuError(
            f"op '{node.key}' has pooling type {node.attrs.get('type')}, which has no equivalent in ONNX"
        )
    factor, shift = fixed_point.average_pool_factor(*kernel)
    if node.input.position != node.output.position and factor <= fixed_point.QMAX:
        return average_as_conv(g, node, factor, shift)
    tensor = _average_pool(g, node, kernel, stride, pads)
    scale = kernel[0] * kernel[1] * factor * 2.0**-shift
    if scale != 1:
        tensor = g.node("Mul", [tensor, g.number(f"{node.key}_scale", scale)], f"{node.key}_dpu")
    return g.half_up(tensor, node.input.position + shift, node), NCHW


@emitter("maxpool2d")
def maxpool2d(g: QdqGraph, node: Node) -> Made:
    """MaxPool."""
    return _max_pool(g, node, *window_of(node)), NCHW


@emitter("avgpool2d")
def avgpool2d(g: QdqGraph, node: Node) -> Made:
    """AveragePool."""
    include = bool(node.attrs.get("count_include_pad", True))
    return _average_pool(g, node, *window_of(node), include=include), NCHW


def _max_pool(g: QdqGraph, node: Node, *window: tuple[int, ...]) -> str:
    return _add_pool(g, node, "MaxPool", *window, dilations=[1, 1], storage_order=0)


def _average_pool(g: QdqGraph, node: Node, *window: tuple[int, ...], include: bool = True) -> str:
    kernel, _, pads = window
    if tuple(node.input.shape[1:3]) == tuple(kernel) and not any(pads):
        return g.node("GlobalAveragePool", [g.read_real(node.input, NCHW)], node.key)
    more: dict[str, Any] = {"dilations": [1, 1]} if g.opset >= 19 else {}
    return _add_pool(g, node, "AveragePool", *window, count_include_pad=int(include), **more)


def _add_pool(
    g: QdqGraph,
    node: Node,
    kind: str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    pads: tuple[int, ...],
    **more: Any,
) -> str:
    top, bottom, left, right = pads
    return g.node(
        kind,
        [g.read_real(node.input, NCHW)],
        node.key,
        auto_pad="NOTSET",
        ceil_mode=0,
        kernel_shape=list(kernel),
        pads=[top, left, bottom, right],
        strides=list(stride),
        **more,
    )


@emitter("reduction_max", "reduction_max-fix")
def reduction_max(g: QdqGraph, node: Node) -> Made:
    """ReduceMax."""
    tensor, layout = _reduce(g, node, "ReduceMax", 18)
    return g.move(tensor, node), layout


@emitter("reduction_sum", "reduction_sum-fix")
def reduction_sum(g: QdqGraph, node: Node) -> Made:
    """ReduceSum."""
    tensor, layout = _reduce(g, node, "ReduceSum", 13)
    return (g.half_up(tensor, node.input.position, node) if node.input.fix_point is not None else tensor), layout


@emitter("reduction_mean")
def reduction_mean(g: QdqGraph, node: Node) -> Made:
    """ReduceMean."""
    return _reduce(g, node, "ReduceMean", 18)


def _reduce(g: QdqGraph, node: Node, op: str, since: int) -> Made:
    """Add a reduction, whose axes are an input from opset `since` on."""
    keep = bool(node.attrs.get("keep_dims", False))
    rank = len(node.input.shape)
    layout = g.layout_of(node.input) if keep or rank != 4 else "nhwc"
    over = sorted(axis_in(axis, rank, layout) for axis in axes(node))
    source = g.read_real(node.input, layout)
    if g.opset >= since:
        tensor = g.node(op, [source, g.ints(f"{node.key}_axes", over)], node.key, keepdims=int(keep))
    else:
        tensor = g.node(op, [source], node.key, axes=over, keepdims=int(keep))
    return tensor, layout if keep and rank == 4 else FLAT if len(node.output.shape) != 4 else layout


@emitter("upsample-fix", "downsample-fix", "resize")
def resize(g: QdqGraph, node: Node) -> Made:
    """Resize, with the places and weights of the DPU's."""
    nearest = mode_of(node) == "NEAREST"
    corners, centred = bool(node.attrs.get("align_corners")), bool(node.attrs.get("half_pixel_centers"))
    places = "align_corners" if corners else "half_pixel" if centred else "asymmetric"
    # The DPU picks floor((i + 1/2) * scale), and floor(i * scale) without centres.
    rounding = "floor" if places == "asymmetric" else "round_prefer_ceil"
    scales = [1.0, 1.0]
    for axis in (1, 2):
        size, wanted = node.input.shape[axis], node.output.shape[axis]
        scale = np.float32(wanted / size)
        if int(float(scale) * size) != wanted:  # ONNX takes the floor, of a float or of a double
            scale = np.nextafter(scale, np.float32(np.inf))
        scales.append(float(scale))
    tensor = g.node(
        "Resize",
        [g.read_real(node.input, NCHW), "", g.initializer(f"{node.key}_scales", np.asarray(scales, np.float32))],
        node.key,
        coordinate_transformation_mode=places,
        cubic_coeff_a=-0.75,
        exclude_outside=0,
        extrapolation_value=0.0,
        mode="nearest" if nearest else "linear",
        nearest_mode=rounding,
    )
    if node.input.fix_point is None:
        return tensor, NCHW
    if nearest:
        return g.move(tensor, node), NCHW
    finest = linear_weights(node, 1)[1] * linear_weights(node, 2)[1]
    return g.half_up(tensor, node.input.position + int(np.ceil(np.log2(finest))), node), NCHW
