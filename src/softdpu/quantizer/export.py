"""The other outputs of a quantized model: a file in the format the user asks for, and shape information."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import tf_keras as keras

from softdpu import files
from softdpu.quantizer.errors import QuantizerError

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
    """Save a model as an HDF5 file, whole or not at all."""
    with files.whole_file(path) as part:
        keras.models.save_model(model, str(part), save_format="h5", include_optimizer=False)


def add_shape_info(model: keras.Model) -> None:
    """Attach every layer's output shape, batch size 1, as `model.shape_info`."""
    model.shape_info = {layer.name: _shape(layer) for layer in model.layers}


def _shape(layer: keras.layers.Layer) -> list[int | None]:
    shape = layer.output_shape[0] if isinstance(layer.output_shape, list) else layer.output_shape
    return [1, *shape[1:]]
