"""A user's network in the form that the build takes: one colour image in, and for classes one logit each out.

Nothing that is changed here changes which class the network finds: scaling and augmentation before the first layer and
a softmax behind the last are what the pipeline does itself, a grey input becomes the brightness of a colour image, and
the one output of a network for two classes becomes two. A network for another task keeps its outputs as they are.
"""

from __future__ import annotations

from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.keras2.kinds import SCALING_LAYERS
from softdpu.output.files import PathLike
from softdpu.own_model.keras3 import is_identity
from softdpu.own_model.plan import explain_inputs
from softdpu.quantizer.float_transforms import new_node
from softdpu.quantizer.keras_graph import Graph, Node, from_model
from softdpu.training.batches import keras

_ENDS = ("softmax", "sigmoid")
_WEIGHTED = ("Dense", "Conv2D")
BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601, as OpenCV and TensorFlow make grey


def adapt(model: keras.Model, path: PathLike, task: str, classes: list[str], bgr: bool = False) -> keras.Model:
    """Return the network to quantize.

    Args:
        model: as load.load gives it.
        path: of its file, for messages.
        task: what it is for, a name of softdpu.tasks.
        classes: names of those of the data.
        bgr: the channels of the input are blue, green, red.

    Raises:
        SoftdpuError: if it does not fit the task, or is for another number of classes.
    """
    _check_input(model, path)
    if task in _FITS:
        _FITS[task](model, path, len(classes))
    graph = from_model(model)
    _take_out_front(graph)
    if task in _FITS:
        _end_in_logits(graph)
        if model.output_shape[-1] == 1:
            _two_outputs(graph, path)
    if model.input_shape[3] == 1:
        _take_grey(graph, bgr)
    return graph.to_model()


def _check_input(model: keras.Model, path: PathLike) -> None:
    inputs = model.input_shape
    if isinstance(inputs, list) and len(inputs) > 1:
        raise SoftdpuError(explain_inputs(path, len(inputs)))
    inputs = inputs[0] if isinstance(inputs, list) else inputs
    if len(inputs) != 4 or None in inputs[1:] or inputs[3] not in (1, 3):
        raise SoftdpuError(f"{path} takes {_shapes(inputs)}; expected one image, (height, width, 1 or 3) (model.file)")


def _check_classifier(model: keras.Model, path: PathLike, classes: int) -> None:
    outputs = model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 2:
        raise SoftdpuError(
            f"{path} gives {_shapes(outputs)}, so it is no classifier; expected one number per class (model.file), or"
            " another task (task)"
        )
    if outputs[1] != classes and (outputs[1], classes) != (1, 2):
        raise SoftdpuError(
            f"{path} says {outputs[1]} classes, the data has {classes} (build/tfrec_train/labels.txt); take the"
            " data that it was trained on (model.file)"
        )


def _shapes(shape: Any) -> str:
    return " and ".join(str(one[1:]) for one in (shape if isinstance(shape, list) else [shape]))


def _take_out_front(graph: Graph) -> None:
    """Remove scaling behind the input, and what only training needs wherever it is."""
    for node in graph:
        if is_identity(node.class_name, node.config):
            graph.remove(node)
    name = graph.input_refs[0][0]
    while True:
        readers = graph.consumers(name)
        if len(readers) != 1 or readers[0] is None or readers[0].class_name not in SCALING_LAYERS:
            return
        graph.remove(readers[0])


def _find_last(graph: Graph) -> Node:
    return graph.nodes[graph.output_refs[0][0]]


def _end_in_logits(graph: Graph) -> None:
    """Remove a softmax or sigmoid at the end."""
    last = _find_last(graph)
    if last.class_name == "Softmax" or (last.class_name == "Activation" and last.config["activation"] in _ENDS):
        graph.remove(last)
    elif last.class_name in _WEIGHTED and last.config.get("activation") in _ENDS:
        last.config["activation"] = "linear"


def _check_segmenter(model: keras.Model, path: PathLike, classes: int) -> None:
    outputs = model.output_shape
    if not isinstance(outputs, tuple) or len(outputs) != 4 or None in outputs[1:]:
        kind = ", which is a classifier's answer" if isinstance(outputs, tuple) and len(outputs) == 2 else ""
        raise SoftdpuError(
            f"{path} gives {_shapes(outputs)}{kind}; task segmentation needs (height, width, classes) (model.file,"
            " task)"
        )
    if outputs[3] != classes and (outputs[3], classes) != (1, 2):
        raise SoftdpuError(
            f"{path} says {outputs[3]} classes, the masks have {classes} (segmentation.classes); take the data"
            " that it was trained on (model.file)"
        )


# By task, what a network's outputs must be; of other tasks any.
_FITS: dict[str, Callable[[Any, Any, int], None]] = {
    "classification": _check_classifier,
    "segmentation": _check_segmenter,
}


def _two_outputs(graph: Graph, path: PathLike) -> None:
    """Give a network with one output z for two classes the outputs 0 and z."""
    last = _find_last(graph)
    if last.class_name not in _WEIGHTED:
        raise SoftdpuError(
            f"{path} has one output that no Dense or Conv2D layer makes; end it with Dense(2), or Conv2D(2, 1) for"
            " pixels (model.file)"
        )
    last.config["units" if last.class_name == "Dense" else "filters"] = 2
    last.weights = {key: np.concatenate([np.zeros_like(value), value], axis=-1) for key, value in last.weights.items()}


def _take_grey(graph: Graph, bgr: bool) -> None:
    """Let a network of grey images take colour: a 1 x 1 convolution makes their brightness.

    On a grey image, whose channels are equal, the quantized layer gives exactly that channel: its weights become 38, 75
    and 15 of 128 at position 7, which add up to 1.
    """
    source = graph.nodes[graph.input_refs[0][0]]
    source.config["batch_input_shape"] = (*source.config["batch_input_shape"][:3], 3)
    layer = keras.layers.Conv2D(1, 1, use_bias=False, name=graph.unique_name("brightness"))
    weights = np.array(BRIGHTNESS[::-1] if bgr else BRIGHTNESS, np.float32).reshape(1, 1, 3, 1)
    graph.insert_after(source, new_node(layer, weights={"kernel": weights}, input_rank=4))
