"""Ops that the DPU leaves to float: as float32 operations of LiteRT, and their rounding back to int8 by FLOOR."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation
from ai_edge_litert.schema_py_generated import Padding

from softdpu.export.source import is_integer
from softdpu.export.tflite.lowering import WholeLowering, float_lowering
from softdpu.runtime.litert.conv import same_pads
from softdpu.runtime.litert.lowering import NotExactError
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.rounding import binary, floor_and_store
from softdpu.runtime.program import Node
from softdpu.runtime.reference.conv import float_pads
from softdpu.runtime.reference.movement import slices
from softdpu.runtime.reference.resize import mode_of, nearest_indices

Pads = tuple[int, int, int, int]


def put(model: WholeLowering, node: Node, index: int) -> None:
    """Say where a float output is, or round it half up where the op's output is int8."""
    if not is_integer(node.output):
        model.floats[node.key] = index
        return
    shape, rank = node.output.shape, len(node.output.shape)
    steps = binary(model, Operator.MUL, index, model.numbers(2.0**node.output.position, rank=rank), shape)
    raised = binary(model, Operator.ADD, steps, model.numbers(0.5, rank=rank), shape)
    floor_and_store(model, node, raised)


def _unary(model: WholeLowering, node: Node, code: int, options: Any = None) -> None:
    index = model.float32(node.output.shape)
    model.builder.operator(code, [model.real(node.input)], [index], options)
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
    if node.kind == "softmax":
        if int(node.attrs.get("axis", -1)) not in (-1, len(node.output.shape) - 1):
            raise NotExactError(f"softmax along axis {node.attrs['axis']}")
        _unary(model, node, Operator.SOFTMAX, option("Softmax", beta=1.0))
        return
    if node.kind == "leaky-relu":
        _unary(model, node, Operator.LEAKY_RELU, option("LeakyRelu", alpha=float(node.attr("alpha"))))
        return
    codes = {"sigmoid": "LOGISTIC"}
    if node.kind == "elu" and float(node.attrs.get("alpha", 1.0)) != 1:
        raise NotExactError(f"elu with alpha {node.attrs['alpha']}")
    _unary(model, node, getattr(Operator, codes.get(node.kind, node.kind.upper())))


@float_lowering("conv2d", "depthwise-conv2d")
def conv2d(model: WholeLowering, node: Node) -> None:
    """CONV_2D or DEPTHWISE_CONV_2D in float32."""
    weights = model.constant(node.inputs["weights"][0]).astype(np.float32)
    if node.inputs["weights"][0].fix_point is not None:
        weights = np.ldexp(weights, -node.inputs["weights"][0].position)
    stride, dilation = node.pair("stride"), node.pair("dilation")
    options = dict(zip(("strideH", "strideW"), stride, strict=True))
    options.update(zip(("dilationHFactor", "dilationWFactor"), dilation, strict=True))
    code, name, outputs = Operator.CONV_2D, "Conv2D", weights.shape[0]
    kernel = (weights.shape[1], weights.shape[2])
    if node.kind == "depthwise-conv2d":
        multiplier, height, width, channels = weights.shape
        weights = weights.transpose(1, 2, 3, 0).reshape(1, height, width, channels * multiplier)
        code, name, outputs = Operator.DEPTHWISE_CONV_2D, "DepthwiseConv2D", channels * multiplier
        options["depthMultiplier"] = multiplier
    source, padding = _pad(model, node, kernel, float_pads(node, kernel, stride, dilation), 0.0)
    bias = np.zeros(outputs, np.float32)
    for value in node.inputs.get("bias", ()):
        bias = model.constant(value).reshape(-1).astype(np.float32)
        bias = bias if value.fix_point is None else np.ldexp(bias, -value.position)
    index = model.float32(node.output.shape)
    made = option(name, padding=padding, fusedActivationFunction=Activation.NONE, **options)
    inputs = [source, model.builder.constant(weights), model.builder.constant(bias)]
    model.builder.operator(code, inputs, [index], made)
    put(model, node, index)


@float_lowering("maxpool2d")
def maxpool2d(model: WholeLowering, node: Node) -> None:
    """MAX_POOL_2D."""
    whole = bool(node.attrs.get("global"))
    kernel = (node.input.shape[1], node.input.shape[2]) if whole else node.pair("kernel")
    stride = (1, 1) if whole else node.pair("stride")
    lowest = float(np.finfo(np.float32).min)
    source, padding = _pad(model, node, kernel, float_pads(node, kernel, stride), lowest)
    options = option(
        "Pool2D", padding=padding, strideH=stride[0], strideW=stride[1], filterHeight=kernel[0], filterWidth=kernel[1]
    )
    index = model.float32(node.output.shape)
    model.builder.operator(Operator.MAX_POOL_2D, [source], [index], options)
    put(model, node, index)


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
    index = model.float32(shape)
    options = option("Reshape", newShape=np.asarray(shape, np.int32))
    model.builder.operator(Operator.RESHAPE, [model.real(node.input), model.ints(shape)], [index], options)
    put(model, node, index)


@float_lowering("transpose")
def transpose(model: WholeLowering, node: Node) -> None:
    """TRANSPOSE."""
    index = model.float32(node.output.shape)
    inputs = [model.real(node.input), model.ints(node.attr("order"))]
    model.builder.operator(Operator.TRANSPOSE, inputs, [index], option("Transpose"))
    put(model, node, index)


@float_lowering("concat")
def concat(model: WholeLowering, node: Node) -> None:
    """CONCATENATION."""
    index = model.float32(node.output.shape)
    options = option("Concatenation", axis=int(node.attr("axis")) % len(node.output.shape))
    inputs = [model.real(value) for value in node.inputs["input"]]
    model.builder.operator(Operator.CONCATENATION, inputs, [index], options)
    put(model, node, index)


@float_lowering("strided_slice")
def strided_slice(model: WholeLowering, node: Node) -> None:
    """STRIDED_SLICE with begins and ends inside of the input."""
    parts = [part.indices(size) for part, size in zip(slices(node), node.input.shape, strict=True)]
    if any(step < 0 for _, _, step in parts):
        raise NotExactError("negative strides")
    index = model.float32(node.output.shape)
    inputs = [model.real(node.input), *(model.ints(numbers) for numbers in zip(*parts, strict=True))]
    model.builder.operator(Operator.STRIDED_SLICE, inputs, [index], option("StridedSlice"))
    put(model, node, index)


@float_lowering("pad")
def pad(model: WholeLowering, node: Node) -> None:
    """PAD with zeros."""
    if str(node.attrs.get("mode", "CONSTANT")) != "CONSTANT" or any(node.attrs.get("constant_values") or []):
        raise NotExactError("a float border that is not zero")
    index = model.float32(node.output.shape)
    paddings = model.ints(np.asarray(node.attr("paddings"), np.int32).reshape(-1, 2))
    model.builder.operator(Operator.PAD, [model.real(node.input), paddings], [index], option("Pad"))
    put(model, node, index)


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
    index = model.float32(node.output.shape)
    options = option("ResizeBilinear", alignCorners=corners, halfPixelCenters=centred)
    inputs = [model.real(node.input), model.ints(node.output.shape[1:3])]
    model.builder.operator(Operator.RESIZE_BILINEAR, inputs, [index], options)
    put(model, node, index)
