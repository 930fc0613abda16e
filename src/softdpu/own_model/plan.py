"""What can be known of a model file before anything is built: its input, and how many classes it says."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Iterable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.errors import SoftdpuError
from softdpu.keras2.kinds import IDLE, MODELS
from softdpu.output.files import PathLike
from softdpu.own_model.front import ONNX
from softdpu.own_model.model_file import read

_BEHIND = (*IDLE, "Activation", "Softmax", "ReLU")  # they leave the number of classes alone
_OF_CLASSES = ("classification", "segmentation")  # tasks whose answer is the largest of the classes' numbers
_MAPS = ("Conv2D", "Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "UpSampling2D")  # they give an image


def check_file(
    path: Path,
    task: str,
    classes: int | None,
    outputs: list[str] | None = None,
    size: tuple[int, int] = (224, 224),
    of_images: bool = True,
) -> None:
    """Check that a model file takes one image, gives what the task needs, and as many classes as the data has.

    Args:
        path: of an .h5, .keras or .onnx.
        task: what it is for, a name of softdpu.tasks.
        classes: of the data; None where it is not known yet.
        outputs: layers or tensors where the network ends, None for its own outputs.
        size: height and width where an .onnx leaves them open.
        of_images: whether the data are images; what else a network takes is seen when it gets it.

    Raises:
        SoftdpuError: if it cannot fit, or the file cannot be read. What its layers' names do not say is left to the
            import.
    """
    if path.suffix.lower() == ONNX:
        _check_onnx(path, task, classes, outputs, size, of_images)
        return
    model = read(path).config
    inputs = sum(entry["class_name"] == "InputLayer" for entry in model["config"]["layers"])
    if of_images and inputs > 1:
        raise SoftdpuError(explain_inputs(path, inputs))
    shape = _input_shape(model)
    if of_images and shape and (len(shape) != 4 or shape[3] not in (1, 3, None)):
        raise SoftdpuError(f"{path} takes {tuple(shape[1:])}; expected one image, (height, width, 1 or 3) (model.file)")
    known = [str(entry.get("name", entry["config"].get("name"))) for entry in model["config"]["layers"]]
    for name in outputs or ():
        if name not in known:
            raise SoftdpuError(explain_missing(path, name, known))
    last = _find_last(model) if not outputs else None
    if last is None:
        return
    if last["class_name"] == "Dense":
        _check_numbers(path, task, classes, int(last["config"]["units"]), "ends in a Dense layer")
    elif last["class_name"] in _MAPS and task == "classification":
        raise _is_no_classifier(path, f"ends in the layer {last['config'].get('name')} ({last['class_name']})")


def _check_numbers(path: Path, task: str, classes: int | None, units: int, what: str) -> None:
    """Check a network whose only output is a vector of `units` numbers."""
    if task == "segmentation":
        raise SoftdpuError(
            f"{path} {what}, as a classifier does; task segmentation needs a class for each pixel (model.file, task)"
        )
    if task == "classification" and classes and units != classes and (units, classes) != (1, 2):
        raise SoftdpuError(
            f"{path} says {units} classes, the data has {classes} (dataset); take the data that it was trained on"
            " (model.file)"
        )


def _is_no_classifier(path: Path, what: str) -> SoftdpuError:
    return SoftdpuError(
        f"{path} {what}, so it is no classifier; expected one number per class (model.file), or another task (task)"
    )


def _check_onnx(
    path: Path, task: str, classes: int | None, outputs: list[str] | None, size: tuple[int, int], of_images: bool
) -> None:
    from softdpu.onnx_import.front import read_ends  # few networks are ONNX

    logits = None if outputs else logits_of(path, task, size)
    ends = read_ends(path, [logits] if logits else outputs, size)
    if of_images and ends.inputs > 1:
        raise SoftdpuError(explain_inputs(path, ends.inputs))
    shapes = ends.shapes
    if len(shapes) != 1 or shapes[0] is None:
        return
    numbers = [length for length in shapes[0][1:] if length != 1]
    if len(numbers) > 1 and task == "classification":
        raise _is_no_classifier(path, f"gives {tuple(shapes[0][1:])}")
    if len(numbers) == 1:
        _check_numbers(path, task, classes, numbers[0], f"gives {numbers[0]} numbers for an image")


def logits_of(path: Path, task: str, size: tuple[int, int]) -> str | None:
    """Return the tensor of an .onnx for classes that a last ArgMax or LogSoftmax reads, None if there is none."""
    if task not in _OF_CLASSES:
        return None
    from softdpu.onnx_import.front import read_ends

    return read_ends(path, None, size).logits


def explain_inputs(path: PathLike, inputs: int) -> str:
    """Return what to say of a network of several inputs where images are the data."""
    return (
        f"{path} takes {inputs} inputs, where one image was expected (model.file); for task none a folder of arrays"
        " feeds them (dataset.kind: arrays, docs/tasks.md)"
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


def _find_last(model: dict[str, Any]) -> dict[str, Any] | None:
    """Return the last layer but for activations, None if the model ends in several or their order is not known."""
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
            return _find_last(entry)
        if entry["class_name"] not in _BEHIND:
            return dict(entry)
    return None
