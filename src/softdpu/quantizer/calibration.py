"""Calibration: find every position from a data set, one pass, a vote a batch.

Each batch chooses its own positions and flows on quantized with them. The position kept is the one that most batches
chose, the earliest of a tie. The pass runs eagerly: tracing a graph would take longer than the few batches it serves.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Iterable, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.output.progress import tqdm
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.quantizers import ANALYSE, CALIBRATE, EVALUATE, Observer, Quantizer
from softdpu.quantizer.wrappers import list_quantized_layers, set_mode

_POSITION, _MINIMUM, _MAXIMUM = range(3)
_SECONDS_BETWEEN_LINES = 10.0


def _quantizers(model: keras.Model) -> dict[str, Quantizer]:
    return {
        slot.quantizer.key: slot.quantizer
        for layer in list_quantized_layers(model)
        for slot in layer.slots()
        if slot.kind not in ("weight", "bias")
    }


def calibrate_weights(model: keras.Model) -> None:
    """Set the positions of all weights and biases, which no batch changes."""
    for layer in list_quantized_layers(model):
        for slot in layer.slots():
            if slot.kind in ("weight", "bias"):
                slot.quantizer.initialize(tf.convert_to_tensor(layer.parameter(slot.attribute)))


def _check_batch(number: int, inputs: Any) -> None:
    for array in tf.nest.flatten(inputs):
        array = np.asarray(array)
        if not array.size:
            raise QuantizerError(f"calib_dataset: batch {number} is empty; drop it")
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise QuantizerError(f"calib_dataset: batch {number} holds NaN or infinity; repair or drop it")


def _shown(items: Iterable[Any], verbose: int) -> Iterator[Any]:
    """Show progress: a bar on a terminal or if asked for, elsewhere a line now and then."""
    if verbose or sys.stderr.isatty():
        yield from tqdm(items, desc="calibration", unit="batch", leave=False)
        return
    start = shown = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - shown >= _SECONDS_BETWEEN_LINES:
            shown = now
            print(f"calibration: {done} batches in {now - start:.0f} s", file=sys.stderr, flush=True)
        yield item


def _vote(positions: list[float]) -> float:
    """Return the most frequent position, the earliest of a tie."""
    return max(positions, key=positions.count)


def measure(
    model: keras.Model, batches: Iterable[Any], verbose: int = 0, mode: str = CALIBRATE
) -> dict[str, np.ndarray]:
    """Run the calibration pass and return, by quantizer key, float32[batches, 3] measurements: position, f_min, f_max.

    Args:
        batches: the inputs of one batch after the other, as calib_data.batches gives them.
        mode: CALIBRATE, or ANALYSE to measure the float model's tensors.

    Raises:
        QuantizerError: for data without a batch, or with NaN or infinity (batch and layer are named).
    """
    set_mode(model, mode)
    rows = []
    for number, inputs in enumerate(_shown(batches, verbose)):
        _check_batch(number, inputs)
        with Observer() as observer:
            model(tf.nest.map_structure(tf.convert_to_tensor, inputs), training=False)
        if observer.broken:
            raise QuantizerError(
                f"calibration batch {number}: layer {observer.broken} has NaN or infinity before it is quantized"
            )
        rows.append(tf.stack(observer.statistics).numpy())
    set_mode(model, EVALUATE)
    if not rows:
        raise QuantizerError("calib_dataset: expected at least one batch, got none")
    return {key: np.stack([table[index] for table in rows]) for index, key in enumerate(observer.keys)}


def calibrate(model: keras.Model, batches: Iterable[Any], last_batch: bool = False, verbose: int = 0) -> set[str]:
    """Set every position of a model from a data set.

    Args:
        batches: as of `measure`.
        last_batch: keep what the last batch measured instead of a vote, as trained thresholds start.

    Returns:
        The keys of the activations that were zero in every batch, whose positions mean nothing yet.
    """
    calibrate_weights(model)
    measurements = measure(model, batches, verbose)
    dead = set()
    for key, quantizer in _quantizers(model).items():
        table = measurements[key]
        used = table[table[:, _MAXIMUM] > table[:, _MINIMUM]]
        if not len(used):
            dead.add(key)
        # A batch in which the tensor is all zero says nothing about its range and has no vote.
        positions = (used if len(used) else table)[:, _POSITION].tolist()
        position = positions[-1] if last_batch else _vote(positions)
        quantizer.store(position, table[-1, _MINIMUM], table[-1, _MAXIMUM])
    return dead


def analyse(model: keras.Model, batches: Iterable[Any]) -> dict[str, Any]:
    """Measure every tensor of the float model with these batches and let the model's quantizers pass it on unquantized.

    Returns:
        {layer: {tensor: {"type": kind, "info": {"min_var", "max_var", "quant_pos_var"}}}}: the range of the last batch
        and the position that most batches would choose.
    """
    calibrate_weights(model)
    measurements = measure(model, batches, mode=ANALYSE)
    set_mode(model, ANALYSE)
    found: dict[str, Any] = {}
    for layer in list_quantized_layers(model):
        tensors = found.setdefault(layer.name, {})
        for slot in layer.slots():
            if slot.kind in ("weight", "bias"):
                info = {name: variable.numpy() for name, variable in slot.quantizer.weights.items()}
            else:
                table = measurements[slot.quantizer.key]
                info = {"min_var": table[-1, _MINIMUM], "max_var": table[-1, _MAXIMUM]}
                info["quant_pos_var"] = _vote(table[:, _POSITION].tolist())
            tensors[slot.name] = {"type": slot.kind, "info": info}
    return found
