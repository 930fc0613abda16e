"""Ops that the DPU leaves to float: as float32 operations of LiteRT, and their rounding back to int8 by FLOOR."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation
from ai_edge_litert.schema_py_generated import Padding

from softdpu.export.source import is_integer
from softdpu.export.tflite.lowering import WholeLowering, float_lowering
from softdpu.runtime.litert.conv import same_pads, steps_of
from softdpu.runtime.litert.lowering import NotExactError
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.rounding import store_scaled
from softdpu.runtime.program import Node
from softdpu.runtime.reference.conv import float_pads
from softdpu.runtime.reference.movement import slices
from softdpu.runtime.reference.pool import window_of
from softdpu.runtime.reference.resize import mode_of, nearest_indices

Pads = tuple[int, int, int, int]


def put(model: WholeLowering, node: Node, index: int) -> None:
    """Say where a float output is, or round it half up where the op's output is int8."""
    if is_integer(node.output):
        store_scaled(model, node, index, 2.0**node.output.position)
    else:
        model.floats[node.key] = index


def _emit(model: WholeLowering, node: Node, code: int, inputs: list[int], options: Any = None) -> None:
    """Add the operator whose result is the op's, in float32."""
    index = model.float32(node.output.shape)
    model.builder.operator(code, inputs, [index], options)
    put(model, node, index)


@float_lowering("fix2float", "float2fix", "upload", "download", "identity", "cast")
def border(model: WholeLowering, node: Node) -> None:
    """DEQUANTIZE, or the rounding to int8."""
    if node.output.dtype.kind not in "f" and not is_integer(node.output):
        raise NotExactError(f"output {node.output.dtype}")
    put(model, node, model.real(node.input))


@float_lowering("add", "sub", "mul", "div", "min", "max", "eltwise-fix")
def arithmetic(model: WholeLowering, node: Node) -> None:
    """ADD, SUB, MUL, DIV, MINIMUM and MAXIMUM."""
    kind = str(node.attrs.get("type") or node.kind).upper()
    codes = {"MIN": (Operator.MINIMUM, "MaximumMinimum"), "MAX": (Operator.MAXIMUM, "MaximumMinimum")}
    for name in ("Add", "Sub", "Mul", "Div"):
        codes[name.upper()] = (getattr(Operator, name.upper()), name)
    code, name = codes[kind]
    values = node.inputs["input"]
    total = model.real(values[0])
    for number, value in enumerate(values[1:], 2):
        shape = np.broadcast_shapes(*(v.shape for v in values[:number]))
        index = model.float32(shape)
        options = option(name) if name == "MaximumMinimum" else option(name, fusedActivationFunction=Activation.NONE)
        model.builder.operator(code, [total, model.real(value)], [index], options)
        total = index
    put(model, node, total)


@float_lowering("relu", "relu6", "tanh", "sigmoid", "elu", "exp", "neg", "softmax", "leaky-relu")
def function(model: WholeLowering, node: Node) -> None:
    """RELU, TANH and so on; SOFTMAX along the last axis."""
    if node.kind == "softmax" and int(node.attrs.get("axis", -1)) not in (-1, len(node.output.shape) - 1):
        raise NotExactError(f"softmax along axis {node.attrs['axis']}")
    if node.kind == "elu" and float(node.attrs.get("alpha", 1.0)) != 1:
        raise NotExactError(f"elu with alpha {node.attrs['alpha']}")
    options = None
    if node.kind == "softmax":
        options = option("Softmax", beta=1.0)
    elif node.kind == "leaky-relu":
        options = option("LeakyRelu", alpha=float(node.attr("alpha")))
    code = {"sigmoid": "LOGISTIC"}.get(node.kind, node.kind.upper().replace("-", "_"))
    _emit(model, node, getattr(Operator, code), [model.real(node.input)], options)


@float_lowering("conv2d", "depthwise-conv2d")
def conv2d(model: WholeLowering, node: Node) -> None:
    """CONV_2D or DEPTHWISE_CONV_2D in float32."""
    weights = model.constant(node.inputs["weights"][0]).astype(np.float32)
    if node.inputs["weights"][0].fix_point is not None:
        weights = np.ldexp(weights, -node.inputs["weights"][0].position)
    options = steps_of(node)
    code, name, outputs = Operator.CONV_2D, "Conv2D", weights.shape[0]
    kernel = (weights.shape[1], weights.shape[2])
    if node.kind == "depthwise-conv2d":
        multiplier, height, width, channels = weights.shape
        weights = weights.transpose(1, 2, 3, 0).reshape(1, height, width, channels * multiplier)
        code, name, outputs = Operator.DEPTHWISE_CONV_2D, "DepthwiseConv2D", channels * multiplier
        options["depthMultiplier"] = multiplier
    source, padding = _pad(
        model, node, kernel, float_pads(node, kernel, node.pair("stride"), node.pair("dilation")), 0.0
    )
    bias = np.zeros(outputs, np.float32)
    for value in node.inputs.get("bias", ()):
        bias = model.constant(value).reshape(-1).astype(np.float32)
        bias = bias if value.fix_point is None else np.ldexp(bias, -value.position)
    made = option(name, padding=padding, fusedActivationFunction=Activation.NONE, **options)
    _emit(model, node, code, [source, model.builder.constant(weights), model.builder.constant(bias)], made)


@float_lowering("maxpool2d")
def maxpool2d(model: WholeLowering, node: Node) -> None:
    """MAX_POOL_2D."""
    kernel, stride, pads = window_of(node)
    source, padding = _pad(model, node, kernel, pads, float(np.finfo(np.float32).min))
    options = option(
        "Pool2D", padding=padding, strideH=stride[0], strideW=stride[1], filterHeight=kernel[0], filterWidth=kernel[1]
    )
    _emit(model, node, Operator.MAX_POOL_2D, [source], options)


def _pad(model: WholeLowering, node: Node, kernel: tuple[int, int], pads: Pads, border_of: float) -> tuple[int, int]:
    """Return the input with its border, and LiteRT's padding."""
    source = model.real(node.input)
    if not any(pads):
        return source, Padding.VALID
    if pads == same_pads(node, kernel):
        return source, Padding.SAME
    if min(pads) < 0:
        raise NotExactError(f"negative pads {pads}")
    top, bottom, left, right = pads
    batch, height, width, channels = node.input.shape
    grown = model.float32((batch, height + top + bottom, width + left + right, channels))
    paddings = model.ints([[0, 0], [top, bottom], [left, right], [0, 0]])
    value = model.builder.constant(np.asarray([border_of], np.float32))
    model.builder.operator(Operator.PADV2, [source, paddings, value], [grown], option("PadV2"))
    return grown, Padding.VALID


@float_lowering("reshape", "flatten", "squeeze")
def reshape(model: WholeLowering, node: Node) -> None:
    """RESHAPE."""
    shape = node.output.shape
    put(model, node, model.reshape(model.real(node.input), model.float32(shape), shape))


@float_lowering("transpose")
def transpose(model: WholeLowering, node: Node) -> None:
    """TRANSPOSE."""
    inputs = [model.real(node.input), model.ints(node.attr("order"))]
    _emit(model, node, Operator.TRANSPOSE, inputs, option("Transpose"))


@float_lowering("concat")
def concat(model: WholeLowering, node: Node) -> None:
    """CONCATENATION."""
    options = option("Concatenation", axis=int(node.attr("axis")) % len(node.output.shape))
    _emit(model, node, Operator.CONCATENATION, [model.real(value) for value in node.inputs["input"]], options)


@float_lowering("strided_slice")
def strided_slice(model: WholeLowering, node: Node) -> None:
    """STRIDED_SLICE with begins and ends inside of the input."""
    parts = [part.indices(size) for part, size in zip(slices(node), node.input.shape, strict=True)]
    if any(step < 0 for _, _, step in parts):
        raise NotExactError("negative strides")
    inputs = [model.real(node.input), *(model.ints(numbers) for numbers in zip(*parts, strict=True))]
    _emit(model, node, Operator.STRIDED_SLICE, inputs, option("StridedSlice"))


@float_lowering("pad")
def pad(model: WholeLowering, node: Node) -> None:
    """PAD with zeros."""
    if str(node.attrs.get("mode", "CONSTANT")) != "CONSTANT" or any(node.attrs.get("constant_values") or []):
        raise NotExactError("a float border that is not zero")
    paddings = model.ints(np.asarray(node.attr("paddings"), np.int32).reshape(-1, 2))
    _emit(model, node, Operator.PAD, [model.real(node.input), paddings], option("Pad"))


@float_lowering("resize", "upsample-fix", "downsample-fix")
def resize(model: WholeLowering, node: Node) -> None:
    """GATHER of rows and columns, or RESIZE_BILINEAR where all weights are exact in float32."""
    if mode_of(node) == "NEAREST":
        source, shape = model.real(node.input), list(node.input.shape)
        for axis in (1, 2):
            picked = nearest_indices(node, axis)
            shape[axis] = len(picked)
            index = model.float32(tuple(shape))
            options = option("Gather", axis=axis, batchDims=0)
            model.builder.operator(Operator.GATHER, [source, model.ints(picked)], [index], options)
            source = index
        put(model, node, source)
        return
    corners, centred = bool(node.attrs.get("align_corners")), bool(node.attrs.get("half_pixel_centers"))
    for axis in (1, 2):
        scale = node.output.shape[axis] / node.input.shape[axis]
        if corners or scale < 1 or np.log2(scale) % 1:
            raise NotExactError(f"interpolation by a factor of {scale:g}")
    options = option("ResizeBilinear", alignCorners=corners, halfPixelCenters=centred)
    inputs = [model.real(node.input), model.ints(node.output.shape[1:3])]
    _emit(model, node, Operator.RESIZE_BILINEAR, inputs, options)
