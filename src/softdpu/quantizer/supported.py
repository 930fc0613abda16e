"""What neither the DPU nor the software DPU has: refused before anything is quantized, with what to use instead."""

from __future__ import annotations

from typing import Any

from softdpu.keras2 import kinds
from softdpu.quantizer import batch_axis
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.keras_graph import Graph, Node
from softdpu.quantizer.strategy import Strategy

_INSTEAD = {
    "Conv1D": "Conv2D over an image of height 1",
    "Conv3D": "Conv2D",
    "SeparableConv1D": "SeparableConv2D over an image of height 1",
    "LocallyConnected1D": "Conv2D over an image of height 1",
    "LocallyConnected2D": "Conv2D",
    "Conv1DTranspose": "Conv2DTranspose over an image of height 1",
    "Conv3DTranspose": "Conv2DTranspose",
    "RepeatVector": "Reshape and UpSampling2D",
    "SpectralNormalization": "the layer inside it, with its trained weights",
    "Resizing": "UpSampling2D (whole factors), or resize the images before the network",
    "CenterCrop": "Cropping2D",
    "RandomCrop": "Cropping2D, or crop the images before the network",
    "LayerNormalization": "BatchNormalization, or the option convert_layernorm_to_dpu_version=True for AI engines",
    "GroupNormalization": "BatchNormalization",
    "UnitNormalization": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "ThresholdedReLU": "ReLU",
    "Masking": "a network without masks",
    "Dot": "tf.matmul or Dense",
    "EinsumDense": "Dense",
    "TimeDistributed": "the layer itself on images, or Dense, which works on the last axis",
    "Embedding": "numbers that are looked up before the network",
    **dict.fromkeys(("Attention", "AdditiveAttention", "MultiHeadAttention"), "tf.matmul and Dense"),
}
_RECURRENT = "convolutions over time (Conv2D over an image of height 1)"
_FUNCTIONS = {
    "abs": "ReLU(x) + ReLU(-x)",
    "square": "Multiply of the tensor with itself",
    "math.square": "Multiply of the tensor with itself",
    "math.abs": "ReLU(x) + ReLU(-x)",
    "math.negative": "x * -1.0",
    "__operators__.neg": "x * -1.0",
    "math.pow": "Multiply",
    "__operators__.pow": "Multiply",
    "nn.conv2d": "Conv2D",
    "nn.depthwise_conv2d": "DepthwiseConv2D",
    "nn.bias_add": "the bias of the layer before it",
    "nn.batch_normalization": "BatchNormalization",
    "nn.l2_normalize": "BatchNormalization",
    "image.resize_with_pad": "UpSampling2D",
    "tile": "UpSampling2D or Concatenate",
    "repeat": "UpSampling2D",
    "unstack": "slices x[..., a:b]",
    "math.argmax": "the layer before it as the end of the network (model.outputs)",
    "nn.log_softmax": "Softmax, or the layer before it as the end of the network (model.outputs)",
}


_ANY_FUNCTION = "Keras layers, or end the network before it (model.outputs)"


def check(graph: Graph, strategy: Strategy, custom: frozenset[str]) -> None:
    """Raise a QuantizerError that names the first layer which nothing here can compute.

    Args:
        graph: of the optimized float model.
        custom: class names that the user answers for (custom_objects): operations of their own, for the app.
    """
    options = strategy.options("quantize_pipeline_config")
    asked = {"LayerNormalization"} if options["convert_layernorm_to_dpu_version"] else set()
    known = (kinds.SHAPE_FOLLOWS - {"SeparableConv2D"}) | asked | custom
    for node in graph.candidates():
        name = kinds.strip_package(node.class_name)
        if name in custom or node.class_name in strategy.layers_of_the_user or node.class_name in kinds.REGISTERED:
            continue
        if name not in known:
            _refuse(node, name)
        elif name == "TFOpLambda" and node.config["function"] not in kinds.FUNCTIONS:
            function = node.config["function"]
            raise QuantizerError(
                f"layer {node.name}: tf.{function} is nothing that the DPU or the software DPU computes: use "
                f"{_FUNCTIONS.get(function, _ANY_FUNCTION)}, or a layer class of your own in custom_objects"
            )
        else:
            batch_axis.check_layer(node)
            _check_settings(node, name)
        if any(ref[2] for ref in node.refs()):
            raise QuantizerError(f"layer {node.name}: reads the second tensor of a layer, which only tf.split may have")


def _refuse(node: Node, name: str) -> None:
    instead = _INSTEAD.get(name, "")
    if not instead and name.endswith(("1D", "3D")) and f"{name[:-2]}2D" in kinds.SHAPE_FOLLOWS:
        instead = f"{name[:-2]}2D{' over an image of height 1' if name.endswith('1D') else ''}"
    if not instead and ("RNN" in name or "LSTM" in name or "GRU" in name or name == "Bidirectional"):
        instead = _RECURRENT
    raise QuantizerError(
        f"layer {node.name}: {name} is nothing that the DPU or the software DPU computes: "
        f"{'use ' + instead if instead else 'use other layers'}; or pass custom_objects={{'{name}': {name}}}, which "
        "makes it an operation of its own that your app computes"
    )


def _check_settings(node: Node, name: str) -> None:
    config = node.config
    problem = ""
    if config.get("data_format") == "channels_first":
        problem = "data_format channels_first: build the model with channels_last"
    elif name == "Conv2DTranspose" and _set(config.get("output_padding"), None):
        problem = "output_padding: leave it at its default, and pad or crop behind the layer"
    elif name == "Conv2DTranspose" and _set(config.get("dilation_rate"), 1):
        problem = "dilation_rate: leave it at its default"
    elif name == "ReLU" and (config.get("threshold") or config.get("max_value") not in (None, 6)):
        problem = "a limit other than 6, or a threshold: use ReLU() or ReLU(max_value=6)"
    elif name == "ReLU" and config.get("negative_slope") and config.get("max_value") is not None:
        problem = "a slope and a limit: use LeakyReLU or ReLU(max_value=6)"
    elif (
        name == "BatchNormalization"
        and node.input_rank == 4
        and _set(config.get("axis"), 3)
        and _set(config["axis"], -1)
    ):
        problem = "another axis than the channels: use axis=-1"
    elif name == "UpSampling2D" and config.get("interpolation", "nearest") not in ("nearest", "bilinear"):
        problem = f"interpolation {config['interpolation']}: use nearest or bilinear"
    elif isinstance(config.get("activation"), str) and config["activation"] not in kinds.ACTIVATIONS:
        problem = f"activation {config['activation']}: use one of {', '.join(sorted(kinds.ACTIVATIONS))}"
    elif isinstance(config.get("activation"), dict) and not config["activation"].get("class_name", "").startswith(
        "Vitis>"
    ):
        problem = f"activation {config['activation'].get('class_name')}: use one of Keras' activation layers"
    if problem:
        raise QuantizerError(f"layer {node.name} ({name}): {problem}")


def _set(value: Any, default: Any) -> bool:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return any(item != default for item in values) and value is not None
