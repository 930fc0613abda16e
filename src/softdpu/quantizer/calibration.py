"""Calibration: find every position from a data set, one pass, a vote a batch.

Each batch chooses its own positions and flows on quantized with them. The position kept is the one that most batches
chose, the earliest of a tie. The pass runs eagerly: tracing a graph would take longer than the few batches it serves.
"""

from __future__ import annotations

import itertools
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.output.progress import tqdm
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.quantizers import ANALYSE, CALIBRATE, EVALUATE, Observer, Quantizer, TQTQuantizer
from softdpu.quantizer.wrappers import quantized_layers, set_mode

_POSITION, _MINIMUM, _MAXIMUM = range(3)


def batches(dataset: Any, batch_size: int | None, steps: int | None) -> Iterator[Any]:
    """Yield the inputs of each batch of anything that Keras' `predict` takes; labels are dropped.

    Arrays are cut into batches of `batch_size` (32); a data set and a Sequence come in batches already.
    """
    if isinstance(dataset, keras.utils.Sequence):
        source: Any = (dataset[index] for index in range(len(dataset)))
    elif isinstance(dataset, tf.data.Dataset):
        source = iter(dataset)
    elif hasattr(dataset, "__next__"):
        source = dataset
    else:
        arrays = tf.nest.map_structure(np.asarray, dataset)
        sizes = {len(array) for array in tf.nest.flatten(arrays)}
        if len(sizes) != 1:
            raise QuantizerError(f"calibration data: expected arrays of one length, got lengths {sorted(sizes)}")
        size = batch_size or 32
        source = (
            tf.nest.map_structure(lambda array, at=at: array[at : at + size], arrays)
            for at in range(0, sizes.pop(), size)
        )
    for batch in itertools.islice(source, steps):
        yield batch[0] if isinstance(batch, tuple) else batch


def _quantizers(model: keras.Model) -> dict[str, Quantizer]:
    return {
        slot.quantizer.key: slot.quantizer
        for layer in quantized_layers(model)
        for slot in layer.slots()
        if slot.kind not in ("weight", "bias")
    }


def calibrate_weights(model: keras.Model) -> None:
    """Set the positions of all weights and biases, which no batch changes."""
    for layer in quantized_layers(model):
        for slot in layer.slots():
            if slot.kind in ("weight", "bias"):
                slot.quantizer.initialize(tf.convert_to_tensor(layer.parameter(slot.attribute)))


def _check_batch(number: int, inputs: Any) -> None:
    for array in tf.nest.flatten(inputs):
        array = np.asarray(array)
        if not array.size:
            raise QuantizerError(f"calibration data: batch {number} is empty; drop it")
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise QuantizerError(f"calibration data: batch {number} holds NaN or infinity; repair or drop it")


def _shown(items: Iterator[Any], verbose: int) -> Any:
    """Show progress, on a terminal or if asked for."""
    return tqdm(items, desc="calibration", unit="batch", leave=False, disable=False if verbose else None)


def _vote(positions: list[float]) -> float:
    """Return the most frequent position, the earliest of a tie."""
    return max(positions, key=positions.count)


def measure(
    model: keras.Model,
    dataset: Any,
    batch_size: int | None,
    steps: int | None,
    verbose: int = 0,
    mode: str = CALIBRATE,
) -> dict[str, np.ndarray]:
    """Run the calibration pass and return, by quantizer key, float32[batches, 3] measurements: position, f_min, f_max.

    Args:
        mode: CALIBRATE, or ANALYSE to measure the float model's tensors.

    Raises:
        QuantizerError: for data without a batch, or with NaN or infinity (batch and layer are named).
    """
    set_mode(model, mode)
    rows = []
    for number, inputs in enumerate(_shown(batches(dataset, batch_size, steps), verbose)):
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
        raise QuantizerError("calibration data: expected at least one batch, got none")
    return {key: np.stack([table[index] for table in rows]) for index, key in enumerate(observer.keys)}


def calibrate(
    model: keras.Model,
    dataset: Any,
    batch_size: int | None,
    steps: int | None,
    last_batch: bool = False,
    verbose: int = 0,
) -> set[str]:
    """Set every position of a model from a data set.

    Args:
        last_batch: keep what the last batch measured instead of a vote, as trained thresholds start.

    Returns:
        The keys of the activations that were zero in every batch, whose positions mean nothing yet.
    """
    calibrate_weights(model)
    measurements = measure(model, dataset, batch_size, steps, verbose)
    dead = set()
    for key, quantizer in _quantizers(model).items():
        table = measurements[key]
        used = table[table[:, _MAXIMUM] > table[:, _MINIMUM]]
        if not len(used):
            dead.add(key)
        # A batch in which the tensor is all zero says nothing about its range and has no vote.
        positions = (used if len(used) else table)[:, _POSITION].tolist()
        position = positions[-1] if last_batch else _vote(positions)
        quantizer.weights["min_var"].assign(table[-1, _MINIMUM])
        quantizer.weights["max_var"].assign(table[-1, _MAXIMUM])
        if isinstance(quantizer, TQTQuantizer):
            quantizer.weights["log_th_var"].assign(quantizer.threshold(table[-1, _MINIMUM], table[-1, _MAXIMUM]))
        else:
            quantizer.weights["quant_pos_var"].assign(position)
    return dead


def analyse(model: keras.Model, dataset: Any) -> dict[str, Any]:
    """Measure every tensor of the float model and let the model's quantizers pass it on unquantized.

    Returns:
        {layer: {tensor: {"type": kind, "info": {"min_var", "max_var", "quant_pos_var"}}}}: the range of the last batch
        and the position that most batches would choose.
    """
    calibrate_weights(model)
    measurements = measure(model, dataset, None, None, mode=ANALYSE)
    set_mode(model, ANALYSE)
    found: dict[str, Any] = {}
    for layer in quantized_layers(model):
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
