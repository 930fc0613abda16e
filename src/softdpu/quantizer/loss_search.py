"""Positions by loss: each tensor's position is moved by -1, +1 and +2, and the one with the least loss is kept.

One tensor after the other, in the model's order, with labelled images; what AMD's `quantize_model(loss=...)` is meant
to do.
"""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import keras
from softdpu.output.progress import tqdm
from softdpu.quantizer.quantizers import Pof2SQuantizer
from softdpu.quantizer.wrappers import list_quantized_layers

STEPS = (-1, 1, 2)


def _evaluate(model: keras.Model, dataset: Any) -> float:
    model.reset_metrics()
    if isinstance(dataset, tuple):
        return model.evaluate(*dataset, verbose=0, return_dict=True)["loss"]
    return model.evaluate(dataset, verbose=0, return_dict=True)["loss"]


def search(model: keras.Model, loss: Any, metrics: Any, dataset: Any, verbose: int = 0) -> tuple[float, float]:
    """Move the positions of a calibrated model in place and return the loss before and after.

    Args:
        loss, metrics: as for `compile`.
        dataset: labelled images: (images, labels), or anything that `evaluate` takes and can be read again.
        verbose: 1 shows the progress.
    """
    judged = keras.Model(model.inputs, model.outputs)  # so that the model itself stays uncompiled
    judged.compile(loss=loss, metrics=metrics)
    slots = [slot for layer in list_quantized_layers(model) for slot in layer.slots()]
    quantizers = [slot.quantizer for slot in slots if isinstance(slot.quantizer, Pof2SQuantizer)]
    first = best = _evaluate(judged, dataset)
    for quantizer in tqdm(
        quantizers, desc="positions by loss", unit="tensor", leave=False, disable=False if verbose else None
    ):
        start = kept = quantizer.position().numpy()
        for step in STEPS:
            quantizer.set_position(start + step)
            found = _evaluate(judged, dataset)
            if found < best:
                best, kept = found, start + step
        quantizer.set_position(kept)
    return first, best
