"""The other outputs of a quantized model: a file in the format the user asks for, and shape information."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from softdpu import files
from softdpu.keras2 import keras, tf
from softdpu.quantizer import legacy
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.graph import as_functional

FORMATS = ("h5", "tf")


def save(model: keras.Model, options: dict[str, Any]) -> None:
    """Save `quantized_model.h5` or the SavedModel folder `quantized_model` in `output_dir`; '' saves nothing.

    Raises:
        QuantizerError: for another `output_format`.
    """
    kind = options["output_format"]
    if not kind:
        return
    if kind not in FORMATS:
        raise QuantizerError(f"output_format {kind}: expected '' or one of {', '.join(FORMATS)}")
    folder = Path(options["output_dir"])
    if kind == "h5":
        save_h5(model, folder / "quantized_model.h5")
    else:
        shutil.rmtree(folder / "quantized_model", ignore_errors=True)
        model.save(folder / "quantized_model", save_format="tf")


def save_h5(model: keras.Model, path: Any) -> None:
    """Save a model, float or quantized, as an HDF5 file that Keras 2.12 reads; whole or not at all.

    The optimizer's state is not saved.
    """
    if not isinstance(model, legacy.Functional):
        model = as_functional(model)
        model = legacy.Functional(model.inputs, model.outputs, name=model.name)
    with files.whole_file(path) as part:
        # Shape information lies where Keras keeps an optimizer's weights.
        has_shapes = isinstance(model.optimizer, ShapeInfo)
        keras.models.save_model(model, str(part), save_format="h5", include_optimizer=has_shapes)


class ShapeInfo:
    """Every layer's output shape, in the place of an optimizer: h5 files then list them under `optimizer_weights`.

    AMD's compiler front end looks there for the shapes of layers that it does not know.
    """

    def __init__(self, shapes: dict[str, list[int]]) -> None:
        self.shapes = shapes
        self.weights = [
            tf.Variable(shape, dtype=tf.int64, trainable=False, name=name) for name, shape in shapes.items()
        ]


def add_shape_info(model: keras.Model) -> None:
    """Store every layer's output shape with batch size 1 in the model.

    Raises:
        QuantizerError: for a layer whose output shape is not known; `input_shape` fixes the model's input.
    """
    model.optimizer = ShapeInfo({layer.name: _shape(layer) for layer in model.layers})


def _shape(layer: keras.layers.Layer) -> list[int]:
    shape = layer.output_shape[0] if isinstance(layer.output_shape, list) else layer.output_shape
    if None in shape[1:]:
        raise QuantizerError(f"layer {layer.name}: its output shape {shape} is not known; give input_shape")
    return [1, *shape[1:]]
