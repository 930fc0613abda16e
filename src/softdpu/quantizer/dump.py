"""Write a quantized model's integers to files, to compare them with what a DPU computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.quantizer.calib_data import batches
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.wrappers import is_quantized, list_quantized_layers


def _write(folder: Path, name: str, values: np.ndarray) -> None:
    """Write `<name>.bin`, the raw array, and `<name>.txt`, one number per line."""
    path = folder / name.replace("/", "_")
    flat = values.ravel()
    files.write_bytes(f"{path}.bin", flat.tobytes())
    files.write_text(f"{path}.txt", "".join(f"{value}\n" for value in flat.tolist()))


def dump_model(model: keras.Model, dataset: Any, output_dir: str, dump_float: bool, weights_only: bool) -> None:
    """Write `dump_results_weights/quant_<layer>_<weight>` and `dump_results_0/quant_<layer>`, .bin (int8) and .txt.

    Args:
        dataset: its first batch is run; not needed with weights_only.
        dump_float: also write `<name>_float`, float32, of every weight and every layer's output.

    Raises:
        QuantizerError: if the model is not quantized, or data is needed and missing.
    """
    if not isinstance(model, keras.Model) or not is_quantized(model):
        raise QuantizerError("dump_model: expected a quantized Keras model")
    if not weights_only and dataset is None:
        raise QuantizerError("dump_model: `dataset` is needed to dump activations; give one, or weights_only=True")
    _dump_weights(model, Path(output_dir) / "dump_results_weights", dump_float)
    if not weights_only:
        _dump_activations(model, dataset, Path(output_dir) / "dump_results_0", dump_float)


def _dump_weights(model: keras.Model, folder: Path, dump_float: bool) -> None:
    for layer in list_quantized_layers(model):
        for slot in layer.slots():
            if slot.kind not in ("weight", "bias"):
                continue
            weight = layer.parameter(slot.attribute).numpy()
            name = f"{layer.name}_{slot.attribute}"
            if dump_float:
                _write(folder, name + "_float", weight)
            scale = 2.0 ** np.asarray(slot.quantizer.position())
            low, high = slot.quantizer.form.limits
            rounded = fixed_point.round_real(weight * scale.astype(np.float32), slot.quantizer.round_mode)
            _write(folder, name, np.clip(rounded, low, high).astype(np.int8))


def _dump_activations(model: keras.Model, dataset: Any, folder: Path, dump_float: bool) -> None:
    positions = {}
    for layer in list_quantized_layers(model):
        for slot in layer.slots():
            if slot.kind not in ("weight", "bias"):
                positions[layer.name] = int(slot.quantizer.position())
    layers = [layer for layer in model.layers if dump_float or layer.name in positions]
    inputs = next(batches(model, dataset, None, 1), None)
    if inputs is None:
        raise QuantizerError("dump_model: expected at least one batch in `dataset`, got none")
    outputs = keras.Model(model.inputs, [layer.output for layer in layers])(inputs, training=False)
    for layer, output in zip(layers, tf.nest.flatten(outputs)):  # noqa: B905 - strict is not in Python 3.7
        if dump_float:
            _write(folder, layer.name + "_float", output.numpy())
        if layer.name in positions:
            integers = output.numpy() * np.float32(2.0 ** positions[layer.name])
            _write(folder, layer.name, integers.astype(np.int8))


def dump_strategy(options: dict[str, Any], path: str) -> str:
    """Write options as JSON and return the text."""
    text = json.dumps(options, indent=2)
    files.write_text(path, text + "\n")
    return text
