"""From a trained quantized model to the one that is compiled: fixed positions, folded normalization, legal shifts."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.keras2.api import keras
from softdpu.keras2.kinds import AUGMENTATIONS
from softdpu.quantizer import refine
from softdpu.quantizer.keras_graph import Graph, Node, from_model
from softdpu.quantizer.wrappers import list_quantized_layers

_TRAINED = ("TQTQuantizer", "LastValueLogThQuantizer")


_CONV_BN = ("Vitis>VitisConvBNQuantize", "Vitis>VitisDepthwiseConvBNQuantize")


def fold_conv_bn(graph: Graph, model: keras.Model) -> None:
    """Turn each trained convolution with BatchNormalization into a QuantizeWrapper of the folded convolution."""
    names = {}
    for node in graph:
        if node.class_name not in _CONV_BN:
            continue
        conv = node.config["conv_layer"]
        kernel = "depthwise_kernel" if "depthwise_kernel" in node.weights else "kernel"
        layer = model.get_layer(node.name)
        node.weights.update({name: layer.parameter(name).numpy() for name in (kernel, "bias")})
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            node.weights.pop(name, None)
        conv["config"].update(use_bias=True, activation=node.config["activation"])
        names[node.name] = "quant_" + conv["config"]["name"]
        node.class_name = "Vitis>QuantizeWrapper"
        kept = {key: node.config[key] for key in ("trainable", "dtype", "quantize_config", "mode")}
        node.config = {**kept, "layer": conv}
    graph.rename(names)


def thresholds_to_positions(graph: Graph) -> None:
    """Turn trained thresholds into positions, bit_width - 1 - ceil(log_th), in place."""
    for node in graph:
        if node.class_name == "Vitis>VitisQuantize":
            quantizer = node.config["quantizer"]
            if quantizer["class_name"].split(">")[-1] in _TRAINED:
                quantizer["class_name"] = "Vitis>Pof2SQuantizer"
                _convert(node, node.name, quantizer["config"])
        elif node.class_name == "Vitis>QuantizeWrapper":
            _convert_wrapper(node)


def _convert_wrapper(node: Node) -> None:
    lists = node.config["quantize_config"]["config"]
    entries = [entry for key, value in lists.items() if key.endswith("_quantizers") for entry in value]
    widths = {entry["quantizer_params"]["bit_width"] for entry in entries if entry["quantizer_type"] in _TRAINED}
    for entry in entries:
        if entry["quantizer_type"] in _TRAINED:
            entry["quantizer_type"] = "Pof2SQuantizer"
    for name in [name for name in node.weights if name.endswith("_log_th")]:
        _convert(node, name[: -len("_log_th")], {"bit_width": _width(lists, name, widths)})


def _width(lists: dict[str, Any], name: str, widths: set[int]) -> int:
    """Return the bit width of the tensor that a threshold belongs to."""
    if len(widths) == 1:
        return next(iter(widths))
    for plural, kind in (("weights", "weight"), ("biases", "bias")):
        for tensor, entry in zip(lists["quantizable_" + plural], lists[kind + "_quantizers"]):  # noqa: B905
            if name == tensor + "_log_th":
                return entry["quantizer_params"]["bit_width"]
    kind = "output" if name.startswith("output_") else "activation"
    return lists[kind + "_quantizers"][0]["quantizer_params"]["bit_width"]


def _convert(node: Node, tensor: str, config: dict[str, Any]) -> None:
    threshold = node.weights.pop(tensor + "_log_th")
    node.weights[tensor + "_pos"] = np.asarray(config["bit_width"] - 1 - np.ceil(threshold), np.float32)


def remove_dropout(graph: Graph) -> None:
    """Remove Dropout, augmentation and the quantizer that follows one only because it is not quantized."""
    for node in graph:
        if node.class_name.split(">")[-1] not in ("Dropout", *AUGMENTATIONS):
            continue
        for reader in graph.consumers(node.name):
            if reader is not None and reader.name == "quant_" + node.name:
                graph.remove(reader)
        graph.remove(node)


def make_legal(model: keras.Model) -> None:
    """Apply every position rule until all hold: moving one position to align a pooling can break a shift elsewhere."""
    options = dict.fromkeys(refine.RULES, True)
    before: list[float] = []
    for _ in range(len(model.layers)):
        refine.apply(model, options)
        after = _positions(model)
        if after == before:
            return
        before = after


def _positions(model: keras.Model) -> list[float]:
    layers = list_quantized_layers(model)
    return [float(np.sum(slot.quantizer.position())) for layer in layers for slot in layer.slots()]


def rebuild(model: keras.Model, custom_objects: dict[str, Any]) -> keras.Model:
    """Return a copy of a model."""
    return from_model(model).to_model(custom_objects)


def store_positions(model: keras.Model, custom_objects: dict[str, Any]) -> keras.Model:
    """Return a copy with folded normalization, positions instead of thresholds, and no Dropout."""
    graph = from_model(model)
    fold_conv_bn(graph, model)
    thresholds_to_positions(graph)
    remove_dropout(graph)
    return graph.to_model(custom_objects)
