"""What can be known of a model file before anything is built: its input, and how many classes it says."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.errors import SoftdpuError
from softdpu.keras2.kinds import IDLE, MODELS
from softdpu.own_model.front import ONNX
from softdpu.own_model.model_file import read

_BEHIND = (*IDLE, "Activation", "Softmax", "ReLU")  # they leave the number of classes alone


def check_file(path: Path, task: str, classes: int | None, outputs: list[str] | None = None) -> None:
    """Check that a model file takes one image, and for classification says as many classes as the data has.

    Args:
        path: of an .h5 or .keras; an .onnx is checked when it is imported.
        task: what it is for, a name of softdpu.tasks.
        classes: of the data; None where it is not known yet.
        outputs: layers where the network ends, None for its own outputs.

    Raises:
        SoftdpuError: if it cannot fit, or the file cannot be read. What its layers' names do not say is left to the
            import.
    """
    if path.suffix.lower() == ONNX:
        return
    model = read(path).config
    shape = _input_shape(model)
    if shape and (len(shape) != 4 or shape[3] not in (1, 3, None)):
        raise SoftdpuError(f"{path} takes {tuple(shape[1:])}; expected one image, (height, width, 1 or 3) (model.file)")
    known = [str(entry.get("name", entry["config"].get("name"))) for entry in model["config"]["layers"]]
    for name in outputs or ():
        if name not in known:
            raise SoftdpuError(explain_missing(path, name, known))
    units = _count_classes(model) if not outputs else None
    if units and task == "segmentation":
        raise SoftdpuError(
            f"{path} ends in a Dense layer, as a classifier does; task segmentation needs a class for each pixel"
            " (model.file, task)"
        )
    if task == "classification" and classes and units and units != classes and (units, classes) != (1, 2):
        raise SoftdpuError(
            f"{path} says {units} classes, the data has {classes} (dataset); take the data that it was trained on"
            " (model.file)"
        )


def explain_missing(path: Path, name: str, known: Iterable[str]) -> str:
    """Return what to say of an output that a model of Keras has not."""
    near = difflib.get_close_matches(name, list(known), n=3) or list(known)[-3:]
    return f"{path} has no layer {name}; near are {', '.join(near)} (model.outputs)"


def _input_shape(model: dict[str, Any]) -> list[Any] | None:
    """Return (batch, height, width, channels) of the only input, None if the first layers do not say it."""
    layers = model["config"]["layers"]
    if not layers:
        return None
    if layers[0]["class_name"] in MODELS:
        return _input_shape(layers[0])
    inputs = [entry["config"].get("batch_input_shape") for entry in layers if entry["class_name"] == "InputLayer"]
    if not inputs:
        inputs = [layers[0]["config"].get("batch_input_shape")]
    return list(inputs[0]) if len(inputs) == 1 and inputs[0] else None


def _count_classes(model: dict[str, Any]) -> int | None:
    """Return the units of the Dense layer that the model ends in, None if it ends in something else."""
    config = model["config"]
    layers = {str(entry.get("name", entry["config"].get("name"))): entry for entry in config["layers"]}
    if model["class_name"] == "Sequential":
        order = list(config["layers"])
    else:
        if len(config.get("output_layers", [])) != 1:
            return None
        order, name = [], config["output_layers"][0][0]
        while name in layers and len(order) < len(layers):
            entry = layers[name]
            order.insert(0, entry)
            calls = entry.get("inbound_nodes") or []
            if len(calls) != 1 or not isinstance(calls[0], list) or len(calls[0]) != 1:
                break
            name = calls[0][0][0]
    for entry in reversed(order):
        if entry["class_name"] in MODELS:
            return _count_classes(entry)
        if entry["class_name"] == "Dense":
            return int(entry["config"]["units"])
        if entry["class_name"] not in _BEHIND:
            return None
    return None
