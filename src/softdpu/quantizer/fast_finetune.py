"""Fast fine-tuning: adjust each layer's weights so that its quantized output comes near the float layer's.

One layer at a time, in the model's order, with the calibration images alone and no labels: the layer reads what the
float layer reads, and its kernel and bias follow the gradient of the mean squared error behind its activation. A layer
whose error no longer falls keeps its best weights. Hubara et al., Accurate Post Training Quantization With Small
Calibration Sets, 2021, as AMD's quantizer does it: Adam with 1e-5 for kernels and 1e-3 for biases.
"""

from __future__ import annotations

import logging
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.output.progress import tqdm
from softdpu.quantizer.refine import is_joined
from softdpu.quantizer.wrappers import QuantizeWrapper

logger = logging.getLogger(__name__)

KERNEL_RATE, BIAS_RATE = 1e-5, 1e-3
BATCH_SIZE = 32
_SEED = 0


class _Module:
    """A quantized layer with weights, and the activation layer that quantizes its result if there is one."""

    def __init__(self, layer: QuantizeWrapper) -> None:
        self.layer = layer
        self.last = layer.outbound_nodes[0].outbound_layer if is_joined(layer) else layer
        slots = [slot for slot in layer.slots() if slot.kind in ("weight", "bias")]
        self.variables = [layer.parameter(slot.attribute) for slot in slots]
        rates = [KERNEL_RATE if slot.kind == "weight" else BIAS_RATE for slot in slots]
        self.optimizers = [getattr(keras.optimizers, "legacy", keras.optimizers).Adam(rate) for rate in rates]
        self.loss = tf.function(self._loss, autograph=False)
        self.step = tf.function(self._step, autograph=False)

    def _loss(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Return the squared error, mean over channels, float32[batch, ...]."""
        found = self.layer(x, training=False)
        if self.last is not self.layer:
            found = self.last(found, training=False)
        return tf.reduce_mean(tf.math.squared_difference(found, y), axis=-1)

    def _step(self, x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = self._loss(x, y)
        for variable, optimizer, gradient in zip(  # noqa: B905 - strict is not in Python 3.7
            self.variables, self.optimizers, tape.gradient(loss, self.variables)
        ):
            optimizer.apply_gradients([(gradient, variable)])

    def error(self, x: np.ndarray, y: np.ndarray, size: int) -> float:
        """Return the mean squared error over all images."""
        losses = [self.loss(*batch).numpy() for batch in _parts(x, y, size)]
        return sum(loss.sum(dtype=np.float64) for loss in losses) / sum(loss.size for loss in losses)


def _parts(x: np.ndarray, y: np.ndarray, size: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    for at in range(0, len(x), size):
        yield tf.convert_to_tensor(x[at : at + size]), tf.convert_to_tensor(y[at : at + size])


def _modules(model: keras.Model, float_model: keras.Model) -> list[_Module]:
    names = {layer.name for layer in float_model.layers}
    modules = [
        _Module(layer)
        for layer in model.layers
        if isinstance(layer, QuantizeWrapper) and hasattr(layer.layer, "activation") and layer.trainable_weights
    ]
    return [m for m in modules if m.layer.layer.name in names and m.last.layer.name in names]


def _float_values(float_model: keras.Model, module: _Module, batches: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return what the float layer reads and gives, for all images."""
    first = float_model.get_layer(module.layer.layer.name)
    last = float_model.get_layer(module.last.layer.name)
    part = keras.Model(float_model.inputs, [first.input, last.output])
    pairs = [part(tf.nest.map_structure(tf.convert_to_tensor, inputs), training=False) for inputs in batches]
    return np.concatenate([x.numpy() for x, _ in pairs]), np.concatenate([y.numpy() for _, y in pairs])


def _tune(module: _Module, x: np.ndarray, y: np.ndarray, size: int, epochs: int) -> tuple[float, float]:
    """Train one module until its error rises or the epochs end; return the errors before and after."""
    order = np.random.default_rng(_SEED)
    first = best = module.error(x, y, size)
    kept = [variable.numpy() for variable in module.variables]
    for _ in range(epochs):
        shuffled = order.permutation(len(x))
        for batch in _parts(x[shuffled], y[shuffled], size):
            module.step(*batch)
        error = module.error(x, y, size)
        if not error < best:
            break
        best, kept = error, [variable.numpy() for variable in module.variables]
    for variable, value in zip(module.variables, kept):  # noqa: B905
        variable.assign(value)
    return first, best


def fast_finetune(
    model: keras.Model, float_model: keras.Model, batches: list[Any], batch_size: int | None, epochs: int, verbose: int
) -> None:
    """Tune kernels and biases of a calibrated model in place; positions stay.

    Args:
        float_model: the float model that was quantized, after the float transforms.
        batches: the calibration data.
        batch_size: images a training step, 32 if None.
        epochs: the most passes over the data for each layer.
        verbose: 1 shows the progress.
    """
    modules = _modules(model, float_model)
    for module in tqdm(modules, desc="fast fine-tuning", unit="layer", leave=False, disable=False if verbose else None):
        x, y = _float_values(float_model, module, batches)
        first, best = _tune(module, x, y, batch_size or BATCH_SIZE, epochs)
        logger.info("fast fine-tuning %s: mean squared error %.3e -> %.3e", module.layer.layer.name, first, best)
