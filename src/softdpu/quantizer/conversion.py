"""Stage B: turn a float graph into a quantized one.

Functions that the DPU computes in its own way get its layers, activations are joined to the layer before them, and
every layer of the registry is wrapped with quantizers.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from softdpu.keras2 import kinds
from softdpu.keras2.api import keras
from softdpu.numbers import fixed_point
from softdpu.quantizer import datatypes
from softdpu.quantizer.float_transforms import new_node
from softdpu.quantizer.keras_graph import Graph, Node
from softdpu.quantizer.layers import bfloat16, dpu
from softdpu.quantizer.strategy import Strategy

_FIRST = ("InputLayer", "Vitis>VitisQuantize")
WRAPPED = ("Vitis>QuantizeWrapper", "Vitis>VitisConvBNQuantize", "Vitis>VitisDepthwiseConvBNQuantize")
CONV_BN = ("Vitis>VitisConvBN", "Vitis>VitisDepthwiseConvBN")


def convert_sigmoids(graph: Graph) -> None:
    """Turn sigmoid into the DPU's hard sigmoid, swish into hard sigmoid and Multiply."""
    for node in graph.candidates():
        activation = node.config.get("activation")
        if activation not in kinds.SIGMOIDS:
            continue
        if node.class_name == "Activation":
            _replace_sigmoid(graph, node, activation)
        elif node.class_name in kinds.CONVOLUTIONS:
            node.config["activation"] = "linear"
            sigmoid = graph.insert_after(node, new_node(dpu.VitisSigmoid(name=node.name + "_sigmoid")))
            if activation != "sigmoid":
                _multiply(graph, node, sigmoid, node.name + "_mul")


def _replace_sigmoid(graph: Graph, node: Node, activation: str) -> None:
    node.class_name = "Vitis>VitisSigmoid"
    node.config = new_node(dpu.VitisSigmoid(name=node.name)).config
    if activation != "sigmoid":
        source = graph.only_input(node)
        assert source is not None
        _multiply(graph, source, node, node.name + "_mul")


def _multiply(graph: Graph, source: Node, sigmoid: Node, name: str) -> None:
    product = graph.insert_after(sigmoid, new_node(keras.layers.Multiply(name=name)))
    (ref,) = sigmoid.refs()
    product.inbound = [[*ref[:3], {}], [sigmoid.name, 0, 0, {}]]
    product.inbound[0][0] = source.name


def convert_hard_sigmoids(graph: Graph) -> None:
    """Turn relu6(x + 3) * (1 / 6), written with + and *, into the DPU's hard sigmoid, named vitis_sigmoid, ..._1."""
    for product in graph.candidates():
        relu6 = graph.only_input(product) if _is_function(product, "math.multiply", 1 / 6) else None
        if relu6 is None or relu6.class_name != "ReLU" or relu6.config.get("max_value") != 6.0:
            continue
        total = graph.only_input(relu6)
        if total is None or not _is_function(total, "__operators__.add", 3.0):
            continue
        if len(graph.consumers(relu6.name)) > 1 or len(graph.consumers(total.name)) > 1:
            continue
        graph.remove(relu6)
        graph.remove(total)
        (ref,) = product.refs()
        product.class_name = "Vitis>VitisSigmoid"
        product.config = new_node(dpu.VitisSigmoid(name=product.name)).config
        product.inbound = [[*ref[:3], {}]]
        graph.rename({product.name: graph.unique_name("vitis_sigmoid")})


def _is_function(node: Node, function: str, constant: float) -> bool:
    """Tell whether a node adds a constant to, or multiplies by it, its one tensor."""
    if node.class_name != "TFOpLambda" or node.config["function"] != function or len(node.refs()) != 1:
        return False
    numbers = [value for value in _list_leaves(node.inbound) if isinstance(value, float)]
    return len(numbers) == 1 and abs(numbers[0] - constant) < 1e-3


def _list_leaves(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else None
    return [value] if items is None else [leaf for item in items for leaf in _list_leaves(item)]


def convert_average_pooling(graph: Graph) -> None:
    """Give average pooling the DPU's integer factors."""
    classes = {
        "AveragePooling2D": "Vitis>AveragePooling2D",
        "GlobalAveragePooling2D": "Vitis>VitisGlobalAveragePooling2D",
    }
    for node in graph.candidates():
        node.class_name = classes.get(node.class_name, node.class_name)


def convert_leaky_relu(graph: Graph) -> None:
    """Replace the LeakyReLU slope 0.1 by the DPU's 26/256."""
    for node in graph.candidates():
        if node.class_name == "LeakyReLU" and abs(float(node.config["alpha"]) - 0.1) < 1e-7:
            node.config["alpha"] = fixed_point.LEAKY_RELU_ALPHA


def _on_last_axis(node: Node) -> bool:
    axis = np.atleast_1d(node.config["axis"]).tolist()
    return axis in ([-1], [(node.input_rank or 0) - 1])


def convert_softmax(graph: Graph) -> None:
    """Turn Softmax layers over the last axis into the one that AI engines compute."""
    for node in graph.candidates():
        if node.class_name == "Softmax" and _on_last_axis(node):
            axis = np.atleast_1d(node.config["axis"]).tolist()[0]
            node.class_name = "Vitis>VitisSoftmax"
            node.config = new_node(bfloat16.VitisSoftmax(axis, name=node.name)).config


def convert_layer_normalization(graph: Graph) -> None:
    """Turn LayerNormalization over the last axis into the one that AI engines compute."""
    for node in graph.candidates():
        if node.class_name == "LayerNormalization" and _on_last_axis(node):
            node.class_name = "Vitis>VitisLayernorm"


CONVERSIONS = {
    "convert_sigmoid_to_hard_sigmoid": convert_sigmoids,
    "convert_hard_sigmoid_to_dpu_version": convert_hard_sigmoids,
    "convert_softmax_to_dpu_version": convert_softmax,
    "convert_layernorm_to_dpu_version": convert_layer_normalization,
    "convert_average_pooling2d_to_dpu_version": convert_average_pooling,
    "convert_leaky_relu_to_dpu_version": convert_leaky_relu,
}


def annotate(graph: Graph, strategy: Strategy) -> None:
    """Join each activation to the convolution, Add, Multiply or pooling before it, so that both share a quantizer."""
    counts = graph.consumer_counts()
    for node in graph.candidates():
        before = graph.only_input(node) if node.inbound is not None else None
        if before is None or counts[before.name] > 1 or before.ignored:
            continue
        if not (strategy.supports(node.class_name) and strategy.supports(before.class_name)):
            continue
        kind = kinds.QUANTIZED.get(before.class_name, kinds.Quantized())
        if node.class_name in kind.takes_in and before.config.get("activation", "linear") == "linear":
            node.annotated = True
            before.joined = not kind.keeps and node.class_name != "Vitis>VitisSigmoid"


def _quantize_node(source: Node, entry: dict[str, Any], mode: str) -> Node:
    """Return the VitisQuantize that quantizes what `source` gives."""
    quantizer = {"class_name": "Vitis>" + entry["quantizer_type"], "config": copy.deepcopy(entry["quantizer_params"])}
    if source.bit_width is not None:
        quantizer["config"]["bit_width"] = source.bit_width
    config = {"trainable": True, "dtype": "float32", "quantizer": quantizer, "mode": mode}
    return Node(name="quant_" + source.name, class_name="Vitis>VitisQuantize", config=config)


def _wrap(node: Node, strategy: Strategy, mode: str) -> None:
    """Make `node` the QuantizeWrapper of the layer that it was."""
    inner: dict[str, Any] = {"class_name": node.class_name, "config": {"name": node.name, **node.config}}
    quantize_config: dict[str, Any]
    if node.joined and not kinds.QUANTIZED[node.class_name].activation:
        quantize_config = {"class_name": "Vitis>NoQuantizeConfig", "config": {}}
    else:
        if node.joined:
            inner["config"]["activation"] = {"class_name": "Vitis>NoQuantizeActivation", "config": {}}
        lists = strategy.layer_lists(node.class_name, inner["config"])
        if node.bit_width is not None:
            datatypes.set_bit_width(lists, node.bit_width)
        quantize_config = {"class_name": "Vitis>VitisQuantizeConfig", "config": lists}
    node.class_name = "Vitis>QuantizeWrapper"
    node.config = {
        "trainable": True,
        "dtype": node.config.get("dtype", "float32"),
        "layer": inner,
        "quantize_config": quantize_config,
        "mode": mode,
    }


def _quantize_conv_bn(node: Node, strategy: Strategy, mode: str) -> None:
    """Give a joined convolution and BatchNormalization their quantizers."""
    delay = strategy.options("quantize_pipeline_config")["freeze_bn_delay"]
    lists = strategy.layer_lists(node.class_name, {})
    if node.joined:
        node.config["activation"] = {"class_name": "Vitis>NoQuantizeActivation", "config": {}}
    node.config.update(
        freeze_bn_delay=None if delay < 0 else delay,
        quantize_config={"class_name": "Vitis>VitisQuantizeConfig", "config": lists},
        mode=mode,
    )
    node.class_name += "Quantize"


def quantize(graph: Graph, strategy: Strategy, mode: str, custom: frozenset[str]) -> None:
    """Add the quantizers to a float graph, in place.

    Args:
        strategy: which layer classes are quantized, and how.
        mode: QCB, QCBEV or QAT, for every quantized layer.
        custom: class names of the user's own layers, which are wrapped in CustomOpWrapper.
    """
    options = strategy.options("quantize_pipeline_config")
    for name, convert in CONVERSIONS.items():
        if options[name]:
            convert(graph)
    annotate(graph, strategy)
    for node in graph.candidates():
        if node.class_name == "InputLayer":
            graph.insert_after(node, _quantize_node(node, strategy.input_quantizer(), mode))
    wrapped: dict[str, str] = {}
    for node in graph.candidates():
        if node.class_name in CONV_BN:
            _quantize_conv_bn(node, strategy, mode)
            continue
        quantizable = strategy.supports(node.class_name)
        if quantizable and (node.annotated or node.class_name not in kinds.ACTIVATION_LAYERS):
            _wrap(node, strategy, mode)
            wrapped[node.name] = graph.unique_name("quant_" + node.name, wrapped.values())
    graph.rename(wrapped)
    for node in graph.candidates():
        if node.class_name == "TFOpLambda" and node.config["function"] in kinds.QUANTIZED_FUNCTIONS:
            graph.insert_after(node, _quantize_node(node, strategy.function_quantizer(), mode))
    _quantize_float_inputs(graph, strategy, mode)
    for node in graph.candidates():
        if node.class_name.split(">")[-1] in custom:
            inner = {"class_name": node.class_name, "config": {"name": node.name, **node.config}}
            node.class_name = "Vitis>CustomOpWrapper"
            node.config = {"trainable": True, "dtype": "float32", "layer": inner}


def _quantize_float_inputs(graph: Graph, strategy: Strategy, mode: str) -> None:
    """Quantize the output of a float layer whose only reader is a quantized layer with this one input."""
    counts = graph.consumer_counts()
    for node in graph.candidates():
        before = graph.only_input(node) if node.class_name in WRAPPED else None
        if before is None or before.class_name in _FIRST + WRAPPED or counts[before.name] > 1:
            continue
        graph.insert_before(node, _quantize_node(before, strategy.input_quantizer(), mode))
