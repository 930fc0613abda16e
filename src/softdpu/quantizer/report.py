"""Every position and shift of a quantized model, layer by layer, as plain data."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.keras2.api import keras
from softdpu.numbers import fixed_point
from softdpu.quantizer import refine
from softdpu.quantizer.quantizers import TQTQuantizer
from softdpu.quantizer.wrappers import QuantizeWrapper, list_quantized_layers


def positions_report(model: keras.Model) -> dict[str, Any]:
    """Return {layer: {class, <tensor>_pos, input_pos, output_pos, shift_cut, shift_bias}}, ready for JSON.

    Shifts are given for convolutions and Dense, where all positions are known; positions for each channel are lists.
    """
    report: dict[str, Any] = {}
    for layer in list_quantized_layers(model):
        entry: dict[str, Any] = {"class": type(refine.inner(layer)).__name__}
        for slot in layer.slots():
            value = np.asarray(slot.quantizer.position())
            entry[slot.name + "_pos"] = int(value) if value.ndim == 0 else value.astype(int).ravel().tolist()
            if isinstance(slot.quantizer, TQTQuantizer):
                entry[slot.name + "_log_th"] = float(slot.quantizer.weights["log_th_var"].numpy())
        if isinstance(layer, QuantizeWrapper):
            entry.update(_shifts(layer))
        report[layer.name] = entry
    return report


def _shifts(layer: QuantizeWrapper) -> dict[str, Any]:
    sources = [source.value if source is not None else None for source in refine.input_positions(layer)]
    entry: dict[str, Any] = {"input_pos": sources[0] if len(sources) == 1 else sources}
    result, weight = refine.output_position(layer), refine.parameter(layer, "kernel")
    if result is not None:
        entry["output_pos"] = result.value
    if result is not None and weight is not None and len(sources) == 1 and sources[0] is not None:
        entry["shift_cut"] = fixed_point.shift_cut(sources[0], weight.value, result.value)
        bias = refine.parameter(layer, "bias")
        if bias is not None:
            entry["shift_bias"] = fixed_point.shift_bias(sources[0], weight.value, bias.value)
    return entry
