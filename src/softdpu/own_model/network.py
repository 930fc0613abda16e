"""The network of a model file of any kind that the build takes, as a live Keras model."""

from __future__ import annotations

from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.own_model.front import ONNX
from softdpu.own_model.load import load
from softdpu.own_model.model_file import read
from softdpu.own_model.plan import explain_missing, logits_of
from softdpu.training.batches import keras


def network(path: Path, size: tuple[int, int], outputs: list[str] | None = None, task: str = "none") -> keras.Model:
    """Return the Keras model of an .h5, .keras or .onnx file, and print what was changed on the way.

    Args:
        path: of the file.
        size: height and width of inputs that the file leaves open.
        outputs: names of the tensors of an .onnx, or of the layers of Keras, where the network ends; None for its own.
        task: what it is for; an .onnx for classes that ends in picking one ends before that.

    Raises:
        SoftdpuError: if the file cannot be read, or holds what Keras 2 has no layer for.
    """
    if path.suffix.lower() != ONNX:
        return _cut(load(read(path), size), outputs, path)
    from softdpu.onnx_import.convert import import_onnx

    if outputs is None and (logits := logits_of(path, task, size)):
        print(f"note: {path}: it ends at {logits}: the app finds the largest number itself")
        outputs = [logits]
    imported = import_onnx(path, outputs, size)
    for note in imported.notes:
        print(f"note: {path}: {note}")
    return _flatten_answer(imported.model)


def _cut(model: keras.Model, outputs: list[str] | None, path: Path) -> keras.Model:
    """Return a model that ends in the layers of these names."""
    if not outputs:
        return model
    layers = {layer.name: layer for layer in model.layers}
    for name in outputs:
        if name not in layers:
            raise SoftdpuError(explain_missing(path, name, layers))
    return keras.Model(model.inputs, [layers[name].output for name in outputs], name=model.name)


def _flatten_answer(model: keras.Model) -> keras.Model:
    """Return a classifier whose answer has a height and width of 1 with a plain vector of logits at its end."""
    if len(model.outputs) != 1 or tuple(model.output_shape[1:-1]) != (1, 1):
        return model
    last = model.layers[-1]
    logits = last.input if type(last).__name__ == "Softmax" else model.outputs[0]
    vector = keras.layers.Flatten(name="logits")(logits)
    return keras.Model(model.inputs, vector, name=model.name)
