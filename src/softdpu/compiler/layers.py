"""One function a Keras layer: what operations the layer becomes in the front end's graph.

Each takes the builder, the layer, the name of this use of the layer, the producers of its inputs and the call, and
returns the operation whose output stands for the layer's. Shapes are NHWC; kernels and strides are written width first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from softdpu import fixed_point
from softdpu.compiler.frontend import Builder
from softdpu.compiler.graph import Fix, Op
from softdpu.compiler.keras_h5 import Call, Layer

LayerFunction = Callable[[Builder, Layer, str, list[Op], Call], Op]


def input_layer(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A placeholder with batch 1."""
    shape = layer.config.get("batch_input_shape") or layer.config.get("batch_shape") or []
    if len(shape) < 2 or any(not isinstance(size, int) or size <= 0 for size in shape[1:]):
        raise build.error(layer, f"expected an input of known size, got {list(shape)[1:]}: fix height and width")
    shape = (1, *shape[1:])
    return build.add(layer, name, "data", {}, {"shape": list(shape), "data_type": "float32"}, shape)


def quantize(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A quantizer of its own."""
    positions = [int(value) for key, value in layer.weights.items() if key.endswith("_pos")]
    if not positions:
        raise build.error(layer, "holds no position: calibrate the model first")
    bits = int(layer.config["quantizer"]["config"].get("bit_width", 8))
    return build.fixed(layer, name, sources[0], Fix(positions[0], bits))


def conv2d(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Conv2D: kernel HWIO -> OHWI."""
    kernel = _weight(build, layer, "kernel", 4)
    attrs, size = _window(build, layer, sources[0].shape, kernel.shape[:2])
    groups = int(layer.config.get("groups") or 1)
    if sources[0].shape[-1] != kernel.shape[2] * groups:
        raise build.error(layer, f"kernel takes {kernel.shape[2] * groups} channels, input has {sources[0].shape[-1]}")
    attrs["group"] = groups
    weights = kernel.transpose(3, 0, 1, 2)
    return _convolution(build, layer, name, "conv2d", sources[0], weights, attrs, (*size, kernel.shape[3]))


def depthwise_conv2d(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """DepthwiseConv2D: kernel (h, w, in, multiplier) -> (multiplier, h, w, in)."""
    kernel = _weight(build, layer, "depthwise_kernel", 4)
    attrs, size = _window(build, layer, sources[0].shape, kernel.shape[:2])
    channels = kernel.shape[2] * kernel.shape[3]
    if sources[0].shape[-1] != kernel.shape[2]:
        raise build.error(layer, f"kernel takes {kernel.shape[2]} channels, input has {sources[0].shape[-1]}")
    weights = kernel.transpose(3, 0, 1, 2)
    return _convolution(
        build, layer, name, "depthwise-conv2d", sources[0], weights, attrs, (*size, channels), "depthwise_kernel"
    )


def conv2d_transpose(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Conv2DTranspose: kernel (h, w, out, in) is turned by 180 degrees -> OHWI over the stretched input."""
    kernel = _weight(build, layer, "kernel", 4)
    strides, height, width = _pair(layer.config["strides"]), *kernel.shape[:2]
    if layer.config.get("output_padding") is not None or _pair(layer.config.get("dilation_rate", 1)) != (1, 1):
        raise build.error(layer, "output_padding and dilation are not supported: leave them at their defaults")
    same = layer.config["padding"] == "same"
    size = [
        extent * stride if same else extent * stride + max(window - stride, 0)
        for extent, stride, window in zip(sources[0].shape[1:3], strides, (height, width), strict=True)
    ]
    attrs = {
        "kernel": [width, height],
        "stride": list(strides[::-1]),
        "dilation": [1, 1],
        "pad_mode": "SAME" if same else "VALID",
        "pad": [0, 0, 0, 0],
    }
    weights = kernel[::-1, ::-1].transpose(2, 0, 1, 3)
    shape = (sources[0].shape[0], *size, kernel.shape[2])
    return _convolution(build, layer, name, "transposed-conv2d", sources[0], weights, attrs, shape)


def dense(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Dense: a matrix product over the last axis."""
    kernel = _weight(build, layer, "kernel", 2)
    if sources[0].shape[-1] != kernel.shape[0]:
        raise build.error(layer, f"kernel takes {kernel.shape[0]} values, input has {sources[0].shape[-1]}")
    fix = build.weight_fix(layer, "kernel")
    weights = build.constant(layer, f"{name}_const_const", kernel)
    if fix is not None:
        weights = build.fixed(layer, f"{name}_const_fix", weights, fix)
    inputs = {"input": [sources[0], weights], **_bias(build, layer, name)}
    shape = (*sources[0].shape[:-1], kernel.shape[1])
    op = build.add(layer, name, "matmul", inputs, {"transpose_a": False, "transpose_b": False}, shape)
    return _activated(build, layer, op)


def _convolution(
    build: Builder,
    layer: Layer,
    name: str,
    kind: str,
    source: Op,
    weights: np.ndarray,
    attrs: dict[str, Any],
    shape: tuple[int, ...],
    key: str = "kernel",
) -> Op:
    fix = build.weight_fix(layer, key)
    parameter = build.parameter(layer, f"{name}_weights", weights, fix, "_fixneuron")
    inputs = {"input": [source], "weights": [parameter], **_bias(build, layer, name)}
    return _activated(build, layer, build.add(layer, name, kind, inputs, attrs, shape))


def _bias(build: Builder, layer: Layer, name: str) -> dict[str, list[Op]]:
    if not layer.config.get("use_bias", True):
        return {}
    bias = _weight(build, layer, "bias", 1)
    return {"bias": [build.parameter(layer, f"{name}_bias", bias, build.weight_fix(layer, "bias"), "_fixneuron")]}


def _activated(build: Builder, layer: Layer, op: Op) -> Op:
    """Append the activation that a convolution or Dense carries in its own config, and the output's fix."""
    function = _activation_name(layer.config.get("activation"))
    if function in ("linear", "NoQuantizeActivation"):
        return build.quantized(layer, op)
    return activation_function(build, layer, f"{op.name}_{function}", op, function)


def activation(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """An Activation layer."""
    function = _activation_name(layer.config.get("activation"))
    if function in ("linear", "NoQuantizeActivation"):
        return build.quantized(layer, sources[0]) if layer.position("post_activation") is not None else sources[0]
    return activation_function(build, layer, name, sources[0], function)


def activation_function(build: Builder, layer: Layer, name: str, source: Op, function: str) -> Op:
    """Append a named activation: quantized on its input (pre_activation_pos) or its output (post_activation_pos)."""
    source, marks = build.quantized_input(layer, name, source)
    make = ACTIVATIONS.get(function)
    if make is None:
        known = ", ".join(sorted(ACTIVATIONS))
        raise build.error(layer, f"unknown activation '{function}': use one of {known}, or a custom layer")
    op = make(build, layer, name, source)
    op.attrs.update(marks)
    return build.quantized(layer, op)


def _unary(kind: str, **attrs: Any) -> Callable[[Builder, Layer, str, Op], Op]:
    def make(build: Builder, layer: Layer, name: str, source: Op) -> Op:
        return build.add(layer, name, kind, {"input": [source]}, dict(attrs), source.shape)

    return make


def _keras_hard_sigmoid(build: Builder, layer: Layer, name: str, source: Op) -> Op:
    """Keras' hard_sigmoid, clip(0.2 x + 0.5, 0, 1), which is another function than the DPU's."""
    op = source
    for kind, suffix, number in (("mul", "_slope", 0.2), ("add", "_offset", 0.5), ("min", "_top", 1.0)):
        const = build.constant(layer, f"{name}{suffix}_const", number)
        op = build.add(layer, name + suffix, kind, {"input": [op, const]}, {}, source.shape)
    return build.add(layer, name, "relu", {"input": [op]}, {}, source.shape)


def _swish(build: Builder, layer: Layer, name: str, source: Op) -> Op:
    gate = build.add(layer, f"{name}_sigmoid", "sigmoid", {"input": [source]}, {}, source.shape)
    return build.add(layer, name, "mul", {"input": [source, gate]}, {}, source.shape)


ACTIVATIONS: dict[str, Callable[[Builder, Layer, str, Op], Op]] = {
    "relu": _unary("relu"),
    "relu6": _unary("relu6"),
    "sigmoid": _unary("sigmoid"),
    "tanh": _unary("tanh"),
    "softmax": _unary("softmax", axis=-1),
    "elu": _unary("elu", alpha=1.0),
    "gelu": _unary("gelu"),
    "leaky_relu": _unary("leaky-relu", alpha=0.2),
    "hard_sigmoid": _keras_hard_sigmoid,
    "swish": _swish,
    "silu": _swish,
}


def _activation_name(value: Any) -> str:
    """Unwrap {"class_name": "Vitis>QuantizeAwareActivation", "config": {"activation": ...}} down to a name."""
    while isinstance(value, dict):
        inner = (value.get("config") or {}).get("activation")
        if inner is None:
            return str(value.get("class_name", "linear")).removeprefix("Vitis>")
        value = inner
    return value or "linear"


def relu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """ReLU, ReLU(6) or, with a slope, leaky ReLU."""
    limit, slope = layer.config.get("max_value"), layer.config.get("negative_slope") or 0.0
    if (limit is not None and float(limit) != 6.0) or layer.config.get("threshold") or (slope and limit is not None):
        raise build.error(layer, "only ReLU, ReLU(max_value=6) and ReLU(negative_slope) are supported: use one of them")
    kind = "leaky-relu" if slope else "relu" if limit is None else "relu6"
    attrs = {"alpha": float(slope)} if slope else {}
    return build.quantized(layer, build.add(layer, name, kind, {"input": sources}, attrs, sources[0].shape))


def leaky_relu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """LeakyReLU with its slope."""
    alpha = layer.config.get("alpha", layer.config.get("negative_slope", 0.3))
    attrs = {"alpha": float(np.float32(alpha))}
    return build.quantized(layer, build.add(layer, name, "leaky-relu", {"input": sources}, attrs, sources[0].shape))


def prelu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """PReLU with its slopes."""
    alpha = layer.weights.get("alpha")
    if alpha is None:
        raise build.error(layer, "holds no alpha: the file is damaged")
    slopes = build.parameter(layer, f"{name}_weight", alpha, build.weight_fix(layer, "alpha"), "_fixneuron")
    inputs = {"input": sources, "weight": [slopes]}
    return build.quantized(layer, build.add(layer, name, "prelu", inputs, {}, sources[0].shape))


def elu(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """ELU."""
    attrs = {"alpha": float(layer.config.get("alpha", 1.0))}
    return build.quantized(layer, build.add(layer, name, "elu", {"input": sources}, attrs, sources[0].shape))


def softmax(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A Softmax layer."""
    axis = layer.config.get("axis", -1)
    return build.add(layer, name, "softmax", {"input": sources}, {"axis": int(axis)}, sources[0].shape)


def vitis_sigmoid(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """The DPU's sigmoid relu6(x + 3) * 2731 / 2**14, written hard-sigmoid (which is / 6) times 6 * 2731 / 2**14."""
    op = build.add(layer, name, "hard-sigmoid", {"input": sources}, {}, sources[0].shape)
    factor = 6 * fixed_point.HARD_SIGMOID_SCALE / 2**fixed_point.HARD_SIGMOID_SHIFT
    return build.quantized(layer, op, _scaled(build, layer, op, factor))


def _scaled(build: Builder, layer: Layer, op: Op, factor: float) -> Op:
    const = build.constant(layer, f"{op.name}_const_const", factor)
    return build.add(layer, f"{op.name}_elemmul", "mul", {"input": [op, const]}, {}, op.shape)


def max_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """MaxPooling2D."""
    attrs, size = _window(build, layer, sources[0].shape, _pair(layer.config["pool_size"]))
    del attrs["dilation"]
    attrs["global"] = False
    shape = (*size, sources[0].shape[-1])
    return build.quantized(layer, build.add(layer, name, "maxpool2d", {"input": sources}, attrs, shape))


def average_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """AveragePooling2D times the DPU's factor."""
    window = _pair(layer.config["pool_size"])
    attrs, size = _window(build, layer, sources[0].shape, window)
    del attrs["dilation"]
    attrs |= {"global": False, "count_include_pad": False, "count_include_invalid": True}
    op = build.add(layer, name, "avgpool2d", {"input": sources}, attrs, (*size, sources[0].shape[-1]))
    if layer.wrapper != "QuantizeWrapper":  # the plain Keras layer is the true mean
        return op
    factor = pooling_factor(*window, is_global=op.shape[1:3] == (1, 1))
    return build.quantized(layer, op, _scaled(build, layer, op, factor))


def global_average_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """GlobalAveragePooling2D times the DPU's factor; the result keeps its 1 x 1 extent."""
    batch, height, width, channels = _image(build, layer, sources[0].shape)
    attrs = {
        "kernel": [width, height],
        "stride": [1, 1],
        "pad_mode": "FLOOR",
        "pad": [0, 0, 0, 0],
        "global": True,
        "count_include_pad": False,
        "count_include_invalid": True,
    }
    op = build.add(layer, name, "avgpool2d", {"input": sources}, attrs, (batch, 1, 1, channels))
    if layer.wrapper != "QuantizeWrapper":
        return op
    return build.quantized(layer, op, _scaled(build, layer, op, pooling_factor(height, width, is_global=True)))


def pooling_factor(height: int, width: int, is_global: bool) -> float:
    """Return what the quantizer's layer multiplies a true mean by, so that it equals the DPU's sum * n / 2**m.

    Args:
        height, width: of the window.
        is_global: whether the result is one pixel; the DPU then averages a rectangle as the square of side
            lcm(height, width), where that is at most 8.
    """
    if max(height, width) > 255:
        return 1.0
    side = math.lcm(height, width)
    if is_global and height != width and side <= 8:
        height = width = side
    n, m = fixed_point.average_pool_factor(height, width)
    return height * width * n / 2**m


def add(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Add."""
    return _elementwise(build, layer, name, "add", sources)


def multiply(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Multiply."""
    return _elementwise(build, layer, name, "mul", sources)


def subtract(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Subtract."""
    return _elementwise(build, layer, name, "sub", sources)


def maximum(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Maximum."""
    return _elementwise(build, layer, name, "max", sources)


def minimum(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Minimum."""
    return _elementwise(build, layer, name, "min", sources)


def _elementwise(build: Builder, layer: Layer, name: str, kind: str, sources: list[Op]) -> Op:
    try:
        shape = np.broadcast_shapes(*(op.shape for op in sources))
    except ValueError:
        raise build.error(layer, f"inputs of shapes {', '.join(str(op.shape) for op in sources)} do not fit") from None
    return build.quantized(layer, build.add(layer, name, kind, {"input": list(sources)}, {}, shape))


def concatenate(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Concatenate."""
    rank = len(sources[0].shape)
    axis = int(layer.config.get("axis", -1)) % rank
    shape = list(sources[0].shape)
    shape[axis] = sum(op.shape[axis] for op in sources)
    op = build.add(layer, name, "concat", {"input": list(sources)}, {"axis": axis}, tuple(shape))
    return build.quantized(layer, op)


def zero_padding(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """ZeroPadding2D."""
    batch, height, width, channels = _image(build, layer, sources[0].shape)
    (top, bottom), (left, right) = layer.config["padding"]
    attrs = {
        "paddings": [0, 0, top, bottom, left, right, 0, 0],
        "mode": "CONSTANT",
        "constant_values": [0.0, 0.0, 0.0, 0.0],
    }
    shape = (batch, height + top + bottom, width + left + right, channels)
    return build.add(layer, name, "pad", {"input": sources}, attrs, shape)


def up_sampling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """UpSampling2D."""
    batch, height, width, channels = _image(build, layer, sources[0].shape)
    down, across = _pair(layer.config["size"])
    attrs = {
        "scale": [float(across), float(down)],
        "mode": str(layer.config.get("interpolation", "nearest")).upper(),
        "align_corners": False,
        "half_pixel_centers": True,
    }
    shape = (batch, height * down, width * across, channels)
    return build.quantized(layer, build.add(layer, name, "resize", {"input": sources}, attrs, shape))


def flatten(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Flatten all but the batch."""
    shape = (sources[0].shape[0], math.prod(sources[0].shape[1:]))
    attrs = {"start_axis": 1, "end_axis": len(sources[0].shape) - 1}
    return build.add(layer, name, "flatten", {"input": sources}, attrs, shape)


def reshape(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Reshape all but the batch; one -1 is worked out."""
    target = [int(size) for size in layer.config["target_shape"]]
    count = math.prod(sources[0].shape[1:])
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) == 1 and known and count % known == 0:
        target[target.index(-1)] = count // known
    if math.prod(target) != count:
        raise build.error(layer, f"{count} values do not fit the shape {layer.config['target_shape']}")
    shape = (sources[0].shape[0], *target)
    return build.add(layer, name, "reshape", {"input": sources}, {"shape": list(shape)}, shape)


def permute(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Permute."""
    order = [0, *(int(axis) for axis in layer.config["dims"])]
    shape = tuple(sources[0].shape[axis] for axis in order)
    return build.add(layer, name, "transpose", {"input": sources}, {"order": order}, shape)


def passed_through(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A layer that does nothing at inference."""
    return sources[0]


def batch_normalization(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A BatchNormalization that was not folded: x * scale + offset on the CPU, quantized if the layer is."""
    epsilon = float(layer.config.get("epsilon", 1e-3))
    variance = np.asarray(layer.weights["moving_variance"], np.float64)
    scale = layer.weights.get("gamma", 1.0) / np.sqrt(variance + epsilon)
    offset = layer.weights.get("beta", 0.0) - layer.weights["moving_mean"] * scale
    op = sources[0]
    for kind, suffix, value in (("mul", "_scale", scale), ("add", "", offset)):
        const = build.constant(layer, f"{name}{suffix}_const", value)
        op = build.add(layer, name + suffix, kind, {"input": [op, const]}, {}, op.shape)
    return build.quantized(layer, op)


_LAMBDAS = {
    "math.multiply": "mul",
    "math.add": "add",
    "math.subtract": "sub",
    "math.truediv": "div",
    "math.divide": "div",
    "__operators__.mul": "mul",
    "__operators__.add": "add",
    "__operators__.sub": "sub",
    "__operators__.truediv": "div",
    "math.maximum": "max",
    "math.minimum": "min",
    "math.sigmoid": "sigmoid",
    "math.tanh": "tanh",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.sigmoid": "sigmoid",
    "nn.tanh": "tanh",
    "nn.softmax": "softmax",
    "nn.elu": "elu",
    "nn.gelu": "gelu",
    "linalg.matmul": "matmul",
}


def tf_function(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A TensorFlow function called on Keras tensors (TFOpLambda)."""
    function = str(layer.config.get("function"))
    kind = _LAMBDAS.get(function)
    if kind is None:
        known = ", ".join(sorted(_LAMBDAS))
        raise build.error(layer, f"unknown function tf.{function}: known are {known}; or write a custom layer")
    if kind in ("add", "sub", "mul", "div", "max", "min"):
        operands = list(sources)
        if "y" in call.arguments or "x" in call.arguments:
            const = build.constant(layer, f"{name}_const", call.arguments.get("y", call.arguments.get("x")))
            operands = [*operands, const] if "y" in call.arguments else [const, *operands]
        return _elementwise(build, layer, name, kind, operands)
    if kind == "matmul":
        turns = [bool(call.arguments.get(f"transpose_{side}")) for side in "ab"]
        first, second = (_turned(op.shape, turn) for op, turn in zip(sources, turns, strict=True))
        marks = {"transpose_a": turns[0], "transpose_b": turns[1]}
        return build.add(layer, name, "matmul", {"input": sources}, marks, (*first[:-1], second[-1]))
    attrs: dict[str, Any] = {"axis": -1} if kind == "softmax" else {"alpha": 1.0} if kind == "elu" else {}
    return build.add(layer, name, kind, {"input": sources}, attrs, sources[0].shape)


def _turned(shape: tuple[int, ...], swap: bool) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if swap else shape


def custom_layer(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A layer that only the user's code knows: an operation of its own kind, its weights as constants."""
    marks = ("_pos", "_min", "_max", "optimizer_step")
    constants = [
        build.constant(layer, f"{layer.paths[key]}_const", value)
        for key, value in layer.weights.items()
        if not key.endswith(marks) and np.ndim(value)
    ]
    shape = (1, *layer.file_shape[1:]) if layer.file_shape else sources[0].shape if sources else ()
    attrs = {
        "shape": list(shape),
        "data_type": layer.outer.get("dtype", "float32"),
        "trainable": bool(layer.outer.get("trainable", True)),
    }
    for key, value in layer.config.items():
        if key not in ("name", "dtype", "trainable") and _plain(value):
            attrs[key] = list(value) if isinstance(value, tuple) else value
    op = build.add(layer, name, layer.kind, {"input": [*sources, *constants]}, attrs, shape)
    return build.quantized(layer, op)


def _plain(value: Any) -> bool:
    """Whether an xir attribute can hold it."""
    if isinstance(value, (list, tuple)):
        return bool(value) and (
            all(isinstance(item, int) for item in value) or all(isinstance(item, str) for item in value)
        )
    return isinstance(value, (bool, int, float, str))


def _weight(build: Builder, layer: Layer, key: str, rank: int) -> np.ndarray:
    value = layer.weights.get(key)
    if value is None or np.ndim(value) != rank:
        raise build.error(layer, f"holds no weight '{key}' of {rank} dimensions: the file is damaged")
    if not np.all(np.isfinite(value)):
        raise build.error(layer, f"weight '{key}' holds NaN or infinity: train the model again")
    return value


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, Sequence) else (int(value), int(value))


def _image(build: Builder, layer: Layer, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    if len(shape) != 4:
        raise build.error(layer, f"expected an input of height, width and channels, got {shape}")
    if layer.config.get("data_format", "channels_last") == "channels_first":
        raise build.error(layer, "channels_first is not supported: build the model with channels_last")
    return shape[0], shape[1], shape[2], shape[3]


def _window(
    build: Builder, layer: Layer, shape: tuple[int, ...], window: Sequence[int]
) -> tuple[dict[str, Any], tuple[int, int, int]]:
    """Return the attributes of a sliding window and (batch, height, width) of what it makes."""
    batch, height, width, _ = _image(build, layer, shape)
    strides = _pair(layer.config.get("strides") or window)
    dilation = _pair(layer.config.get("dilation_rate", 1))
    same = layer.config["padding"] == "same"
    size = [
        -(-extent // stride) if same else (extent - (reach - 1) * step - 1) // stride + 1
        for extent, stride, reach, step in zip((height, width), strides, window, dilation, strict=True)
    ]
    if min(size) < 1:
        raise build.error(layer, f"a window of {tuple(window)} does not fit an input of {height} x {width}")
    attrs = {
        "kernel": [int(window[1]), int(window[0])],
        "stride": list(strides[::-1]),
        "dilation": list(dilation[::-1]),
        "pad_mode": "SAME" if same else "VALID",
        "pad": [0, 0, 0, 0],
    }
    return attrs, (batch, size[0], size[1])


LAYERS: dict[str, LayerFunction] = {
    "InputLayer": input_layer,
    "VitisQuantize": quantize,
    "Conv2D": conv2d,
    "DepthwiseConv2D": depthwise_conv2d,
    "Conv2DTranspose": conv2d_transpose,
    "Dense": dense,
    "Activation": activation,
    "ReLU": relu,
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "ELU": elu,
    "Softmax": softmax,
    "VitisSigmoid": vitis_sigmoid,
    "MaxPooling2D": max_pooling,
    "AveragePooling2D": average_pooling,
    "VitisAveragePooling2D": average_pooling,
    "GlobalAveragePooling2D": global_average_pooling,
    "VitisGlobalAveragePooling2D": global_average_pooling,
    "Add": add,
    "Multiply": multiply,
    "Subtract": subtract,
    "Maximum": maximum,
    "Minimum": minimum,
    "Concatenate": concatenate,
    "ZeroPadding2D": zero_padding,
    "UpSampling2D": up_sampling,
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    "Dropout": passed_through,
    "SpatialDropout2D": passed_through,
    "BatchNormalization": batch_normalization,
    "TFOpLambda": tf_function,
}
