"""Stage A: transforms of the float model that keep its function, so that what is left can be quantized well.

Dropout goes, activations leave their convolutions, separable convolutions become two, BatchNormalization folds into the
convolution before it or becomes a depthwise convolution of its own. The float32 arithmetic of the folding is AMD's,
operation by operation.
"""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.keras2.kinds import CONVOLUTIONS
from softdpu.quantizer import legacy
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.keras_graph import Graph, Node


def kernel_name(node: Node) -> str:
    """Return the name of a convolution's kernel among its weights."""
    return "depthwise_kernel" if "depthwise_kernel" in node.weights else "kernel"


def new_node(layer: keras.layers.Layer, **fields: Any) -> Node:
    """Return a node for a layer made here."""
    entry = legacy.serialize(layer)
    return Node(name=layer.name, class_name=entry["class_name"], config=entry["config"], **fields)


def remove_dropout(graph: Graph) -> None:
    """Remove Dropout layers, which do nothing outside training."""
    for node in graph.candidates():
        if node.class_name == "Dropout":
            graph.remove(node)


def separable_convolutions(graph: Graph) -> None:
    """Split SeparableConv2D into `<n>_depthwise_conv` without bias and `<n>_pointwise_conv` with its activation."""
    for node in graph.candidates():
        if node.class_name != "SeparableConv2D":
            continue
        config = node.config
        depthwise = keras.layers.DepthwiseConv2D(
            kernel_size=config["kernel_size"],
            strides=config["strides"],
            padding=config["padding"],
            data_format=config["data_format"],
            depth_multiplier=config["depth_multiplier"],
            dilation_rate=config["dilation_rate"],
            use_bias=False,
            name=node.name + "_depthwise_conv",
        )
        pointwise = keras.layers.Conv2D(
            filters=config["filters"],
            kernel_size=1,
            data_format=config["data_format"],
            use_bias=config["use_bias"],
            name=node.name + "_pointwise_conv",
        )
        weights = node.weights
        own = {"depthwise_kernel", "pointwise_kernel", "bias"}
        first = new_node(depthwise, weights={"depthwise_kernel": weights["depthwise_kernel"]}, input_rank=4)
        second = new_node(pointwise, weights={"kernel": weights["pointwise_kernel"]}, input_rank=4)
        second.config["activation"] = config["activation"]
        if config["use_bias"]:
            second.weights["bias"] = weights["bias"]
        second.weights.update({name: weight for name, weight in weights.items() if name not in own})
        graph.insert_after(node, first)
        graph.insert_after(first, second)
        graph.remove(node)


def separate_activations(graph: Graph) -> None:
    """Move a non-linear activation out of its convolution into an Activation layer named `<layer>_<activation>`."""
    for node in graph.candidates():
        if node.class_name not in CONVOLUTIONS or node.config["activation"] == "linear":
            continue
        activation, node.config["activation"] = node.config["activation"], "linear"
        if isinstance(activation, dict):
            graph.insert_after(node, _activation_layer(node, activation))
        else:
            layer = keras.layers.Activation("linear", name=f"{node.name}_{activation}")
            separate = new_node(layer)
            separate.config["activation"] = activation
            graph.insert_after(node, separate)


def _activation_layer(node: Node, entry: dict[str, Any]) -> Node:
    """Return a node for an activation given as a layer object, such as `activation=ReLU(6.0)`."""
    class_name = entry["class_name"]
    if not hasattr(keras.layers, class_name.split(">")[-1]):
        raise QuantizerError(f"layer {node.name}: expected a Keras activation, got an object of class {class_name}")
    config = {key: value for key, value in entry["config"].items() if key != "name"}
    own = {name for name in node.weights if name in ("kernel", "depthwise_kernel", "bias")}
    weights = {name: node.weights.pop(name) for name in set(node.weights) - own}  # PReLU's slopes
    return Node(name=f"{node.name}_{class_name}", class_name=class_name, config=config, weights=weights)


def spell_activations(graph: Graph) -> None:
    """Give each activation the layer that the DPU knows it by: Activation(LeakyReLU()), ReLU with a slope, ..."""
    for node in graph.candidates():
        activation = node.config.get("activation")
        if node.class_name == "Activation" and isinstance(activation, dict):
            if not hasattr(keras.layers, activation["class_name"].split(">")[-1]):
                continue
            node.class_name = activation["class_name"]
            node.config = {key: value for key, value in activation["config"].items() if key != "name"}
        if node.class_name == "Activation" and node.config["activation"] == "leaky_relu":
            _become_leaky(node, 0.2)  # the default of tf.nn.leaky_relu
        elif node.class_name == "ReLU" and node.config.get("negative_slope") and not node.config.get("threshold"):
            if node.config.get("max_value") is None:
                _become_leaky(node, node.config["negative_slope"])
        elif node.class_name == "TFOpLambda" and node.config["function"] == "nn.leaky_relu":
            _leaky_function(node)


def _leaky_function(node: Node) -> None:
    (ref,) = node.refs()
    arguments = node.inbound[3] if isinstance(node.inbound[0], str) and len(node.inbound) > 3 else {}
    node.inbound = [[*ref[:3], {}]]
    _become_leaky(node, arguments.get("alpha", 0.2))


def _become_leaky(node: Node, slope: float) -> None:
    layer = keras.layers.LeakyReLU(slope)
    node.class_name, node.config = "LeakyReLU", new_node(layer).config


def relu6_to_relu(graph: Graph) -> None:
    """Turn ReLU6 into ReLU; this changes the function where values pass 6."""
    for node in graph.candidates():
        if node.class_name == "ReLU" and node.config.get("max_value") == 6.0:
            node.config["max_value"] = None
        elif node.class_name == "Activation" and node.config["activation"] == "relu6":
            node.config["activation"] = "relu"


def scale_and_shift(bn: Node, bias: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (multiplier, folded bias) of a BatchNormalization behind a layer with `bias`, float32[channels]."""
    epsilon = np.float32(bn.config["epsilon"])
    mean, variance = bn.weights["moving_mean"], bn.weights["moving_variance"]
    gamma = bn.weights["gamma"] if bn.config["scale"] else np.float32(1)
    multiplier = gamma / np.sqrt(variance + epsilon)
    shift = (-mean if bias is None else bias - mean) * multiplier
    return multiplier, bn.weights["beta"] + shift if bn.config["center"] else shift


def fold_kernel(class_name: str, kernel: Any, multiplier: Any) -> Any:
    """Return a convolution's kernel times one multiplier an output channel; arrays or tensors."""
    channels: tuple[int, ...]
    if class_name == "DepthwiseConv2D":
        channels = (int(kernel.shape[2]), int(kernel.shape[3]))
    elif class_name == "Conv2DTranspose":
        channels = (int(kernel.shape[2]), 1)
    else:
        channels = (int(kernel.shape[-1]),)
    reshape = np.reshape if isinstance(multiplier, np.ndarray) else tf.reshape
    return kernel * reshape(multiplier, channels)


def _on_channels(bn: Node, layer: Node) -> bool:
    """Tell whether a BatchNormalization normalizes the channels of the layer before it."""
    (axis,) = np.atleast_1d(bn.config["axis"]).tolist() if np.size(bn.config["axis"]) == 1 else (None,)
    first = layer.config.get("data_format") == "channels_first"
    return axis == 1 if first else axis in (-1, (bn.input_rank or 4) - 1)


def _is_foldable(graph: Graph, conv: Node, bn: Node) -> bool:
    linear = conv.config["activation"] == "linear"
    return linear and len(graph.consumers(conv.name)) == 1 and _on_channels(bn, conv)


def fold_batch_normalization(graph: Graph) -> None:
    """Fold a BatchNormalization into the linear convolution or Dense before it, if nothing else reads that."""
    for bn in graph.candidates():
        if bn.class_name != "BatchNormalization":
            continue
        conv = graph.only_input(bn)
        if conv is None or conv.ignored or conv.class_name not in CONVOLUTIONS or not _is_foldable(graph, conv, bn):
            continue
        multiplier, bias = scale_and_shift(bn, conv.weights.get("bias"))
        name = kernel_name(conv)
        conv.weights = {name: fold_kernel(conv.class_name, conv.weights[name], multiplier), "bias": bias}
        conv.config["use_bias"] = True
        graph.remove(bn)


def convert_batch_normalization(graph: Graph) -> None:
    """Turn each BatchNormalization left into a 1x1 depthwise convolution (on vectors a diagonal Dense)."""
    for bn in graph.candidates():
        if bn.class_name != "BatchNormalization" or bn.input_rank not in (2, 4):
            continue
        multiplier, bias = scale_and_shift(bn, None)
        layer: keras.layers.Layer
        if bn.input_rank == 4:
            if np.atleast_1d(bn.config["axis"]).tolist() not in ([3], [-1]):
                continue
            layer = keras.layers.DepthwiseConv2D(1, name=bn.name)
            kernel = {"depthwise_kernel": multiplier.reshape(1, 1, -1, 1)}
        else:
            layer = keras.layers.Dense(len(multiplier), name=bn.name)
            kernel = {"kernel": np.diag(multiplier)}
        made = new_node(layer)
        bn.class_name, bn.config, bn.weights = made.class_name, made.config, {**kernel, "bias": bias}


def join_batch_normalization(graph: Graph) -> None:
    """Join each convolution with the BatchNormalization behind it to one layer that can be trained with it."""
    classes = {"Conv2D": "Vitis>VitisConvBN", "DepthwiseConv2D": "Vitis>VitisDepthwiseConvBN"}
    for bn in graph.candidates():
        conv = graph.only_input(bn) if bn.class_name == "BatchNormalization" else None
        if conv is None or conv.ignored or conv.class_name not in classes or not _is_foldable(graph, conv, bn):
            continue
        layers = {
            key: {"class_name": node.class_name, "config": {"name": node.name, **node.config}}
            for key, node in (("conv_layer", conv), ("bn_layer", bn))
        }
        conv.config = {"trainable": True, "dtype": "float32", **layers, "activation": "linear"}
        conv.class_name = classes[conv.class_name]
        conv.weights = {**conv.weights, **bn.weights}
        graph.remove(bn)
        graph.rename({conv.name: f"quant_{conv.name}_{bn.name}"})


def check_weights(graph: Graph) -> None:
    """Raise a QuantizerError naming the layer if a weight is not a finite number."""
    for node in graph:
        for name, weight in node.weights.items():
            if np.issubdtype(weight.dtype, np.floating) and not np.isfinite(weight).all():
                raise QuantizerError(
                    f"layer {node.name}: {name} holds NaN or infinity; train the float model again or repair its file"
                )


TRANSFORMS: dict[str, Callable[[Graph], None]] = {
    "remove_dropout": remove_dropout,
    "separable_conv": separable_convolutions,
    "separate_conv_act": separate_activations,
    "convert_tf_op_to_keras": spell_activations,
    "convert_relu6_to_relu": relu6_to_relu,
}
FOLDS: dict[str, Callable[[Graph], None]] = {
    "fold_conv_bn": fold_batch_normalization,
    "convert_bn_to_dwconv": convert_batch_normalization,
}


def apply(graph: Graph, options: dict[str, Any]) -> None:
    """Apply the transforms that `options` (the keys of `optimize_pipeline_config`) switch on, in place."""
    check_weights(graph)
    for name, transform in TRANSFORMS.items():
        if options[name]:
            transform(graph)
    if options["train_with_bn"]:
        join_batch_normalization(graph)
    # What could not be joined is folded nevertheless: no DPU has BatchNormalization.
    for name, transform in FOLDS.items():
        if options[name]:
            transform(graph)
    if options["fold_conv_bn"]:
        fold_batch_normalization(graph)
