"""Convolutions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation
from ai_edge_litert.schema_py_generated import Padding

from softdpu.numbers import fixed_point
from softdpu.runtime.litert.elementwise import store_hard
from softdpu.runtime.litert.lowering import OFFSET, UP, Lowering, NotExactError, lowering, scale_of
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.rounding import EXACT, binary, floor_and_store, relu6_limit, store_whole, unary
from softdpu.runtime.program import Node, Value

_CUT_SIGNED, _CUT_POSITIVE = 14, 15  # the largest shifts at which 1 + 2**-23 moves ties and nothing else
_CUT_LEAKY = 9
_MOST_DENSE, _DENSE = 64, 32  # channels of a depthwise transposed convolution that one plain one computes
_LEAKY_SLOPE = float(np.nextafter(np.float32(fixed_point.LEAKY_RELU_ALPHA), np.float32(0)))
_FUSED = {"NONE": Activation.NONE, "RELU": Activation.RELU, "RELU6": Activation.RELU6}


@dataclass(frozen=True)
class Filters:
    """What a convolution computes, whatever its kind.

    Attributes:
        code: LiteRT's operator.
        weights: in LiteRT's layout, with the output channels on `axis`.
        position: of the weights.
        bias: one per output channel, in units of 2**-(input position + weight position); may be a fraction.
        options: LiteRT's options without padding and activation.
    """

    code: int
    weights: np.ndarray
    axis: int
    position: int
    bias: np.ndarray
    options: dict[str, Any]

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """Return the sum of some weights over everything but the output channels: int64[channels]."""
        axes = tuple(axis for axis in range(4) if axis != self.axis)
        return weights.astype(np.int64).sum(axis=axes)

    def reach(self) -> int:
        """Return a bound of every partial sum, bias included."""
        return int((128 * self.sums(np.abs(self.weights.astype(np.int64))) + np.abs(self.bias)).max())


@lowering("conv2d-fix")
def conv2d(model: Lowering, node: Node) -> None:
    """CONV_2D."""
    weights = model.constant(node.inputs["weights"][0])
    convolution(model, node, _filters(model, node, Operator.CONV_2D, weights, 0, steps_of(node)))


@lowering("depthwise-conv2d-fix")
def depthwise_conv2d(model: Lowering, node: Node) -> None:
    """DEPTHWISE_CONV_2D; weights {multiplier, h, w, c} become {1, h, w, c * multiplier}."""
    weights = model.constant(node.inputs["weights"][0])
    multiplier, height, width, channels = weights.shape
    packed = weights.transpose(1, 2, 3, 0).reshape(1, height, width, channels * multiplier)
    options = {**steps_of(node), "depthMultiplier": multiplier}
    convolution(model, node, _filters(model, node, Operator.DEPTHWISE_CONV_2D, packed, 3, options))


@lowering("transposed-conv2d-fix")
def transposed_conv2d(model: Lowering, node: Node) -> None:
    """TRANSPOSE_CONV, whose weights are turned by half a turn."""
    _convolve_transposed(model, node, model.constant(node.inputs["weights"][0]))


@lowering("transposed-depthwise-conv2d-fix")
def transposed_depthwise_conv2d(model: Lowering, node: Node) -> None:
    """TRANSPOSE_CONV with weights that are zero between different channels, of a few channels at a time."""
    weights = model.constant(node.inputs["weights"][0])
    multiplier, _, _, channels = weights.shape
    if channels <= _MOST_DENSE:
        _convolve_transposed(model, node, _spread_channels(weights))
        return
    if "bias" in node.inputs:
        raise NotExactError(f"{channels} channels with a bias")
    held, parts = model.get(node.input), []
    for first in range(0, channels, _DENSE):
        last = min(first + _DENSE, channels)
        shape = (*node.input.shape[:3], last - first)
        source = replace(node.input, key=f"{node.input.key} [{first}:{last}] of {node.key}", shape=shape)
        index = model.int8(source, held.zero)
        begin, end = [0, 0, 0, first], [*shape[:3], last]
        indices = [held.index, model.ints(begin), model.ints(end), model.ints([1, 1, 1, 1])]
        model.builder.operator(Operator.STRIDED_SLICE, indices, [index], option("StridedSlice"))
        model.held[source.key] = replace(held, index=index)
        made = (*node.output.shape[:3], (last - first) * multiplier)
        output = replace(node.output, key=f"{node.key} [{first}:{last}]", shape=made)
        inputs = {**node.inputs, "input": (source,)}
        part = replace(node, key=output.key, inputs=inputs, output=output)
        _convolve_transposed(model, part, _spread_channels(weights[..., first:last]))
        parts.append(model.held[output.key])
    zero, joined = parts[0].zero, model.int8(node.output, parts[0].zero)
    if any(one.zero != zero for one in parts):
        raise NotExactError("parts of different zero points")
    options = option("Concatenation", axis=3)
    model.builder.operator(Operator.CONCATENATION, [one.index for one in parts], [joined], options)
    model.put(node, joined, zero, all(one.positive for one in parts))


def _spread_channels(weights: np.ndarray) -> np.ndarray:
    """Return depthwise weights {multiplier, h, w, c} as OHWI, zero between different channels."""
    multiplier, height, width, channels = weights.shape
    full = np.zeros((channels, multiplier, height, width, channels), np.int8)
    for channel in range(channels):
        full[channel, ..., channel] = weights[..., channel]
    return full.reshape(channels * multiplier, height, width, channels)


def _convolve_transposed(model: Lowering, node: Node, weights: np.ndarray) -> None:
    outputs, height, width, channels = weights.shape
    rows, cols = node.pair("dilation")
    turned = np.zeros((outputs, (height - 1) * rows + 1, (width - 1) * cols + 1, channels), np.int8)
    turned[:, ::rows, ::cols] = weights[:, ::-1, ::-1]
    convolution(model, node, _filters(model, node, Operator.TRANSPOSE_CONV, turned, 0, {}))


def steps_of(node: Node) -> dict[str, Any]:
    """Return an op's stride and dilation as LiteRT's options."""
    stride, dilation = node.pair("stride"), node.pair("dilation")
    return {
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
    }


def _filters(
    model: Lowering, node: Node, code: int, weights: np.ndarray, axis: int, options: dict[str, Any]
) -> Filters:
    """Return the filters of a convolution op, its bias in the units of the sums, exact in float64."""
    position = node.inputs["weights"][0].position
    bias = np.zeros(weights.shape[axis])
    if "bias" in node.inputs:
        source = node.inputs["bias"][0]
        shift = fixed_point.shift_bias(node.input.position, position, source.position)
        if abs(shift) > 40:
            raise NotExactError(f"shift_bias {shift}")
        bias = np.ldexp(model.constant(source).reshape(-1).astype(np.float64), shift)
    return Filters(code, weights, axis, position, bias, options)


def convolution(model: Lowering, node: Node, filters: Filters) -> None:
    """Lower what filters compute, by activation: int8 all the way where that is exact, else in float32."""
    kind = node.attrs.get("nonlinear") or "NONE"
    cut = fixed_point.shift_cut(node.input.position, filters.position, node.output.position)
    if kind in ("HSIGMOID", "HSWISH"):
        middle = replace(node.output, key=node.key + " before", fix_point=int(node.attr("hsigmoid_in")))
        plain = replace(node, key=middle.key, attrs={**node.attrs, "nonlinear": "NONE"}, output=middle)
        convolution(model, plain, filters)
        store_hard(model, node, middle)
        return
    if kind == "LEAKYRELU":
        if 0 < cut <= _CUT_LEAKY and _is_whole(filters.bias):
            _leaky(model, node, filters, cut)
        else:
            _convolve_float(model, node, filters, cut)
        return
    if kind not in _FUSED:
        raise NotExactError(f"nonlinear {kind}")
    positive = kind != "NONE" or _is_never_negative(model, node, filters)
    if -8 < cut <= (_CUT_POSITIVE if positive else _CUT_SIGNED) and _bias_fits(filters.bias, cut):
        _convolve_int8(model, node, filters, cut, _FUSED[kind], positive)
    else:
        _convolve_float(model, node, filters, cut)


def _is_never_negative(model: Lowering, node: Node, filters: Filters) -> bool:
    return model.get(node.input).positive and bool((filters.weights >= 0).all() and (filters.bias >= 0).all())


def _is_whole(bias: np.ndarray) -> bool:
    return bool((bias == np.floor(bias)).all())


def _bias_fits(bias: np.ndarray, cut: int) -> bool:
    """Tell whether floor(bias) gives the same results: always for a positive cut, as the sums are whole."""
    return (cut > 0 or _is_whole(bias)) and float(np.abs(bias).max(initial=0)) < 2**29


def _convolve_int8(model: Lowering, node: Node, filters: Filters, cut: int, activation: int, positive: bool) -> None:
    """One quantized convolution with the two devices of the module `lowering`."""
    zero = 0 if positive or cut <= 0 else OFFSET
    bias = np.floor(filters.bias) - zero * 2.0**cut
    scales = scale_of(filters.position) * UP
    output = model.int8(node.output, zero)
    _emit(model, node, filters, bias, scales, output, activation)
    model.put(node, output, zero, positive)


def _leaky(model: Lowering, node: Node, filters: Filters, cut: int) -> None:
    """LEAKYRELU as the sum of two convolutions, of what is positive and of what is negative.

    The negative part has zero point 127, which cuts off what is positive, and its slope in the scale, made a hair
    smaller so that negative ties move up.
    """
    above = model.int8(node.output)
    _emit(model, node, filters, filters.bias, scale_of(filters.position) * UP, above, Activation.RELU)
    below = model.int8(node.output, 127)
    _emit(model, node, filters, filters.bias, scale_of(filters.position) * _LEAKY_SLOPE, below, Activation.NONE)
    output = model.int8(node.output)
    model.add([above, below], output)
    model.put(node, output)


def _emit(
    model: Lowering, node: Node, filters: Filters, bias: np.ndarray, scale: float, output: int, activation: int
) -> None:
    """Add a quantized convolution of the op's input into `output`."""
    if filters.code == Operator.TRANSPOSE_CONV:
        _emit_transposed(model, node, filters, bias, scale, output, activation)
        return
    source, padding, zero = pad_input(model, node, node.input, filters)
    bias = bias + zero * filters.sums(filters.weights)
    weights, bias_index = _constants(model, node, filters, bias, scale)
    options = option(
        "Conv2D" if filters.code == Operator.CONV_2D else "DepthwiseConv2D",
        padding=padding,
        fusedActivationFunction=activation,
        **filters.options,
    )
    model.builder.operator(filters.code, [source, weights, bias_index], [output], options)


def _constants(model: Lowering, node: Node, filters: Filters, bias: np.ndarray, scale: float) -> tuple[int, int]:
    """Add weights and bias with a scale a channel, for which LiteRT always has the kernels that round as wanted."""
    if np.abs(bias).max(initial=0) + filters.reach() >= 2**31:
        raise NotExactError("sums past 32 bits")
    scales = np.full(filters.weights.shape[filters.axis], scale, np.float32)
    steps = np.float32(scale_of(node.input.position)) * scales
    weights = model.builder.constant(filters.weights, scales, filters.axis)
    return weights, model.builder.constant(bias.astype(np.int32), steps)


def _emit_transposed(
    model: Lowering, node: Node, filters: Filters, bias: np.ndarray, scale: float, output: int, activation: int
) -> None:
    """Add a quantized transposed convolution; what its attribute `pad` cuts off is SAME's cut or a slice."""
    weights, bias_index = _constants(model, node, filters, bias, scale)
    batch, height, width, channels = node.output.shape
    stride, kernel = node.pair("stride"), filters.weights.shape[1:3]
    full = [(n - 1) * s + k for n, s, k in zip(node.input.shape[1:3], stride, kernel, strict=True)]
    cut = node.pads()
    total = [cut[0] + cut[1], cut[2] + cut[3]]
    same = (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)
    grows = [n * s for n, s in zip(node.input.shape[1:3], stride, strict=True)]
    if cut == same and [height, width] == grows and min(cut) >= 0 and any(cut):
        padding, shape, whole = Padding.SAME, (batch, height, width, channels), output
    elif min(cut) >= 0:
        padding, shape = Padding.VALID, (batch, full[0], full[1], channels)
        zero = model.builder.zero_point(output)
        whole = model.int8(node.output, zero, shape) if any(cut) else output
    else:
        raise NotExactError(f"negative pads {cut}")
    options = option(
        "TransposeConv", padding=padding, strideH=stride[0], strideW=stride[1], fusedActivationFunction=activation
    )
    inputs = [model.ints(shape), weights, model.plain(node.input), bias_index]
    model.builder.operator(filters.code, inputs, [whole], options)
    if whole != output:
        begin, end = [0, cut[0], cut[2], 0], [batch, cut[0] + height, cut[2] + width, channels]
        indices = [whole, model.ints(begin), model.ints(end), model.ints([1, 1, 1, 1])]
        model.builder.operator(Operator.STRIDED_SLICE, indices, [output], option("StridedSlice"))


def _convolve_float(model: Lowering, node: Node, filters: Filters, cut: int) -> None:
    """A float32 convolution, whose sums are whole numbers below 2**24 and so exact, then FLOOR.

    Numbers are in output steps, weights and bias multiplied by 2**-cut; whole for LeakyReLU with a large cut, whose
    products with 13 would not fit.
    """
    kind = node.attrs.get("nonlinear") or "NONE"
    leaky = kind == "LEAKYRELU"
    if filters.code == Operator.TRANSPOSE_CONV:
        raise NotExactError(f"transposed with shift_cut {cut} and {kind}")
    if filters.reach() + 2.0 ** max(cut, 0) >= EXACT or not _is_whole(filters.bias):
        raise NotExactError("sums past 24 bits")
    if not -100 < cut <= 16:
        raise NotExactError(f"shift_cut {cut}")
    split = leaky and cut > 0
    source, padding, _ = pad_input(model, node, node.input, filters, plain=True)
    shape = tuple(_shape_of(node, filters, padding))
    wide = model.float32(shape)
    model.builder.operator(Operator.DEQUANTIZE, [source], [wide])
    rise, unit = 0.0 if leaky else 0.5, 0 if split else cut
    weights = np.ldexp(filters.weights.astype(np.float32), node.input.position - unit)
    bias = (np.ldexp(filters.bias, -unit) + rise).astype(np.float32)
    options = option(
        "Conv2D" if filters.code == Operator.CONV_2D else "DepthwiseConv2D",
        padding=padding,
        fusedActivationFunction=Activation.RELU if kind in ("RELU", "RELU6") else Activation.NONE,
        **filters.options,
    )
    sums = model.float32(node.output.shape)
    indices = [wide, model.builder.constant(weights), model.builder.constant(bias)]
    model.builder.operator(filters.code, indices, [sums], options)
    if split:
        store_whole(model, node, _bend(model, sums, cut, node.output.shape), False)
        return
    if leaky:
        slope = option("LeakyRelu", alpha=fixed_point.LEAKY_RELU_ALPHA)
        bent = unary(model, Operator.LEAKY_RELU, sums, node.output.shape, slope)
        sums = model.float32(node.output.shape)
        model.add([bent, model.numbers(0.5, rank=4)], sums)
    limit = relu6_limit(node.output.position) if kind == "RELU6" else None
    floor_and_store(model, node, sums, limit, kind in ("RELU", "RELU6"))


def _bend(model: Lowering, sums: int, cut: int, shape: tuple[int, ...]) -> int:
    """Return LeakyReLU of whole sums below 2**24 in whole output steps, never leaving what float32 holds exactly.

    Of what is positive floor(x / 2**cut + 1/2). Of what is negative floor((13 * x + 2**(cut + 6)) / 2**(cut + 7)) with
    x = 4096 * high + low, which is floor((13 * high + floor((13 * low + 2**(cut + 6)) / 4096)) / 2**(cut - 5)).
    """

    def step(code: int, x: int, number: float) -> int:
        return binary(model, code, x, model.numbers(number, rank=4), shape)

    def scaled(x: int, factor: float, offset: float = 0.0) -> int:
        x = step(Operator.MUL, x, factor)
        return step(Operator.ADD, x, offset) if offset else x

    def floor(x: int) -> int:
        return unary(model, Operator.FLOOR, x, shape)

    above = floor(scaled(step(Operator.MAXIMUM, sums, 0.0), 2.0**-cut, 0.5))
    below = step(Operator.MINIMUM, sums, 0.0)
    high = floor(scaled(below, 1 / 4096))
    low = binary(model, Operator.ADD, below, scaled(high, -4096.0), shape)
    carry = floor(scaled(scaled(low, 13.0, 2.0 ** (cut + 6)), 1 / 4096))
    total = binary(model, Operator.ADD, scaled(high, 13.0), carry, shape)
    return binary(model, Operator.ADD, above, floor(scaled(total, 2.0 ** (5 - cut))), shape)


def _shape_of(node: Node, filters: Filters, padding: int) -> list[int]:
    shape = list(node.input.shape)
    if padding == Padding.VALID:
        top, bottom, left, right = node.pads()
        shape[1] += top + bottom
        shape[2] += left + right
    return shape


def pad_input(model: Lowering, node: Node, value: Value, filters: Filters, plain: bool = False) -> tuple[int, int, int]:
    """Return the tensor to convolve, LiteRT's padding and the tensor's zero point.

    Pads that TensorFlow's SAME would choose become SAME; others become a PAD, whose zeros need zero point 0.
    """
    pads = node.pads()
    if not any(pads):
        held = model.get(value)
        return (model.plain(value), Padding.VALID, 0) if plain else (held.index, Padding.VALID, held.zero)
    index = model.plain(value)
    height, width = (size for axis, size in enumerate(filters.weights.shape) if axis in (1, 2))
    if pads == same_pads(node, (height, width)):
        return index, Padding.SAME, 0
    return pad(model, value, index, pads), Padding.VALID, 0


def same_pads(node: Node, kernel: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Return the pads (top, bottom, left, right) of TensorFlow's SAME, or None where it gives another shape."""
    pads: list[int] = []
    for axis, size, stride, dilation in zip((1, 2), kernel, node.pair("stride"), node.pair("dilation"), strict=True):
        source, wanted = node.input.shape[axis], node.output.shape[axis]
        if wanted != -(-source // stride):
            return None
        total = max((wanted - 1) * stride + (size - 1) * dilation + 1 - source, 0)
        pads += [total // 2, total - total // 2]
    return pads[0], pads[1], pads[2], pads[3]


def pad(model: Lowering, value: Value, index: int, pads: tuple[int, int, int, int], number: int = 0) -> int:
    """Add a border of zeros, or of another number, to a plain tensor and return the result."""
    if min(pads) < 0:
        raise NotExactError(f"negative pads {pads}")
    top, bottom, left, right = pads
    batch, height, width, channels = value.shape
    grown = model.int8(value, shape=(batch, height + top + bottom, width + left + right, channels))
    paddings = model.ints([[0, 0], [top, bottom], [left, right], [0, 0]])
    if number:
        border = model.builder.constant(np.asarray([number], np.int8), scale_of(value.position))
        model.builder.operator(Operator.PADV2, [index, paddings, border], [grown], option("PadV2"))
    else:
        model.builder.operator(Operator.PAD, [index, paddings], [grown], option("Pad"))
    return grown
