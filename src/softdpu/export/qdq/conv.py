"""Convolutions: their weights in ONNX's layout, their biases, and the bias that makes ties round up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.qdq.emit import Made, activate, activation_of, emitter
from softdpu.export.qdq.qdq_graph import NCHW, QdqGraph
from softdpu.export.source import is_integer
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node, Value
from softdpu.runtime.reference.conv import float_pads

# onnxruntime makes a convolution and the QuantizeLinear right behind it a QLinearConv, whose bias has the sums' scale.
# It does not where the bias' scale is another one, but it takes scales that are 1e-6 apart for the same. A bias in
# half units is that near where sums are whole multiples of 2**-19 or of less.
_FINEST_SUMS = 18


@emitter("conv2d-fix", "conv2d")
def conv2d(g: QdqGraph, node: Node) -> Made:
    """Conv; weights OHWI become OIHW."""
    weights = g.array(node.inputs["weights"][0])
    group = int(node.attrs.get("group") or 1)
    return _conv(g, node, weights.transpose(0, 3, 1, 2), group)


@emitter("depthwise-conv2d-fix", "depthwise-conv2d")
def depthwise_conv2d(g: QdqGraph, node: Node) -> Made:
    """Conv of as many groups as channels; weights {multiplier, h, w, c} become {c * multiplier, 1, h, w}."""
    weights = g.array(node.inputs["weights"][0])
    multiplier, height, width, channels = weights.shape
    packed = weights.transpose(3, 0, 1, 2).reshape(channels * multiplier, 1, height, width)
    return _conv(g, node, packed, channels)


@emitter("transposed-conv2d-fix", "transposed-conv2d")
def transposed_conv2d(g: QdqGraph, node: Node) -> Made:
    """ConvTranspose, whose weights are IOHW and turned by half a turn."""
    weights = g.array(node.inputs["weights"][0])
    return _transpose(g, node, weights[:, ::-1, ::-1].transpose(3, 0, 1, 2), 1)


@emitter("transposed-depthwise-conv2d-fix", "transposed-depthwise-conv2d")
def transposed_depthwise_conv2d(g: QdqGraph, node: Node) -> Made:
    """ConvTranspose of as many groups as channels."""
    weights = g.array(node.inputs["weights"][0])
    return _transpose(g, node, weights[:, ::-1, ::-1].transpose(3, 0, 1, 2), weights.shape[3])


def average_as_conv(g: QdqGraph, node: Node, factor: int, shift: int) -> Made:
    """Return the DPU's average, sum * factor / 2**shift, as a Conv of equal weights."""
    channels, (height, width) = node.input.shape[3], node.pair("kernel")
    shape = (channels, 1, height, width)
    value = Value(f"{node.key}_weights", f"{node.key}_weights", shape, np.dtype(np.int8), shift)
    one = replace(node, kind="conv2d-fix", inputs={**node.inputs, "weights": (value,)})
    return _conv(g, one, np.full(shape, factor, np.int8), channels)


def _conv(g: QdqGraph, node: Node, weights: np.ndarray, group: int) -> Made:
    """Add a Conv with every attribute spelt out."""
    kernel, stride, dilation = weights.shape[2:], node.pair("stride"), node.pair("dilation")
    size = (int(kernel[0]), int(kernel[1]))
    fixed = node.kind.endswith("-fix")
    top, bottom, left, right = node.pads() if fixed else float_pads(node, size, stride, dilation)
    if min(top, bottom, left, right) < 0:
        raise SoftdpuError(f"op '{node.key}' has negative pads {[top, bottom, left, right]}, which ONNX's Conv has not")
    attrs = {"pads": [top, left, bottom, right], "kernel_shape": list(kernel), "group": group}
    return _finish(g, node, "Conv", weights, {**attrs, "strides": list(stride), "dilations": list(dilation)})


def _transpose(g: QdqGraph, node: Node, weights: np.ndarray, group: int) -> Made:
    """Add a ConvTranspose; what its pads cut is what the DPU's op cuts."""
    kernel, stride, dilation = weights.shape[2:], node.pair("stride"), node.pair("dilation")
    full = [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(node.input.shape[1:3], stride, kernel, dilation, strict=True)
    ]
    wanted = node.output.shape[1:3]
    top, left = node.pads()[0], node.pads()[2]
    if node.attrs.get("pad_mode") in ("SAME", "VALID"):
        cut = [max(size - out, 0) // 2 for size, out in zip(full, wanted, strict=True)]
        top, left = cut if node.attrs["pad_mode"] == "SAME" else (0, 0)
    bottom, right = full[0] - top - wanted[0], full[1] - left - wanted[1]
    if min(top, bottom, left, right) < 0:
        raise SoftdpuError(f"op '{node.key}' has a larger output than ONNX's ConvTranspose gives")
    attrs: dict[str, Any] = {"pads": [top, left, bottom, right], "kernel_shape": list(kernel), "group": group}
    attrs.update(strides=list(stride), dilations=list(dilation), output_padding=[0, 0])
    return _finish(g, node, "ConvTranspose", weights, attrs)


def _finish(g: QdqGraph, node: Node, op: str, weights: np.ndarray, attrs: dict[str, Any]) -> Made:
    inputs = [g.read_real(node.input, NCHW), g.weights(node.inputs["weights"][0], np.ascontiguousarray(weights))]
    channels = weights.shape[0] if op == "Conv" else weights.shape[1] * attrs["group"]
    unit = _unit(g, node)
    bias = None if unit is None else _raise_bias(g, node, channels, unit)
    given = node.inputs.get("bias", ())
    raised = bias is not None
    inputs += [bias] if bias else [g.weights(value, g.array(value).reshape(-1)) for value in given]
    tensor = g.node(op, inputs, node.key, auto_pad="NOTSET", **attrs)
    return activate(g, node, tensor, None if raised else unit), NCHW


def _unit(g: QdqGraph, node: Node) -> int | None:
    """Return the unit of the sums, 2**-unit, of an op of int8; None of a float one.

    A bias counts with the bits that it uses: one of zeros may have any position.
    """
    weights = node.inputs["weights"][0]
    if weights.fix_point is None or node.input.fix_point is None or not is_integer(node.output):
        return None
    unit = node.input.position + weights.position
    for value in node.inputs.get("bias", ()):
        lowest = int(np.bitwise_or.reduce(g.array(value).reshape(-1).astype(np.int64)))
        if lowest:
            unit = max(unit, value.position - ((lowest & -lowest).bit_length() - 1))
    return unit


def _raise_bias(g: QdqGraph, node: Node, channels: int, unit: int) -> str | None:
    """Return for the tie-free form the bias in int32 and half units, raised by half a unit: then no sum is a tie.

    None where there are no ties, or where the raise cannot be in the bias: before LeakyReLU, whose slope makes finer
    sums, where the DPU's smallest shift_bias would be passed, and where onnxruntime would take its unit for the sums'.
    """
    kind = activation_of(node)
    end = int(node.attr("hsigmoid_in")) if kind in ("HSIGMOID", "HSWISH") else node.output.position
    if not g.tie_free or kind == "LEAKYRELU" or unit <= end:
        return None
    sums = node.input.position + node.inputs["weights"][0].position
    if sums - (unit + 1) < fixed_point.shift_bias_minimum(sums - node.output.position):
        return None
    if sums > _FINEST_SUMS and (kind not in ("RELU", "RELU6") or g.flavour.pair_before_activation):
        return None
    given = node.inputs.get("bias", ())
    bias = np.zeros(channels, np.int64)
    for value in given:
        bias = np.ldexp(g.array(value).reshape(-1).astype(np.float64), unit - value.position).astype(np.int64)
    if np.abs(bias).max() >= 2**30:
        return None
    name = given[0].key if given else f"{node.key}_bias"
    return g.add_quantized(name, (2 * bias + 1).astype(np.int32), unit + 1)
