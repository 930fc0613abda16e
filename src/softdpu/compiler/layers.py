"""One function a Keras layer: what operations the layer becomes in the front end's graph.

Each takes the builder, the layer, the name of this use of the layer, the producers of its inputs and the call, and
returns the operation whose output stands for the layer's. Shapes are NHWC; kernels and strides are written width first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from softdpu.compiler.builder import Builder
from softdpu.compiler.graph import Fix, Op
from softdpu.compiler.keras_h5 import Call, Layer
from softdpu.compiler.layers_activation import activation, elu, leaky_relu, prelu, relu, softmax, vitis_sigmoid
from softdpu.compiler.layers_image import (
    average_pooling,
    concatenate,
    cropping,
    flatten,
    global_average_pooling,
    global_max_pooling,
    max_pooling,
    permute,
    reshape,
    up_sampling,
    zero_padding,
)
from softdpu.compiler.layers_weighted import conv2d, conv2d_transpose, dense, depthwise_conv2d

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
    "GlobalMaxPooling2D": global_max_pooling,
    "Cropping2D": cropping,
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
