"""The copy of a network that is trained where the network itself cannot be: on several devices, or in mixed precision.

The network stays as it is, in float32 and with Keras' own layers; it gets the copy's weights in the end.
"""

from __future__ import annotations

from typing import Any

from softdpu.keras2 import replicas
from softdpu.keras2.api import keras, tf
from softdpu.training.devices import Devices

PRECISIONS = ("float16", "bfloat16")


def copy_to_train(model: keras.Model, devices: Devices, precision: str | None = None) -> keras.Model:
    """Return a copy of a functional model with the same weights.

    Args:
        model: float32.
        devices: with several of them, BatchNormalization takes its statistics over the whole batch as one device
            would, not over each device's part.
        precision: float16 or bfloat16, what all layers but the last compute in; their weights stay float32.
    """
    outputs = set(model.output_names)

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if precision and layer.name not in outputs:
            config["dtype"] = "mixed_" + precision
        kind = type(layer)
        if devices.replicas > 1 and kind in _PLAIN:
            kind = WholeBatchNormalization
        return kind.from_config(config)

    with devices.scope():
        copy = keras.models.clone_model(model, clone_function=copied)
        copy.set_weights(model.get_weights())
    copy.distribute_reduction_method = "first"  # all devices have the same metrics; newer Keras would add them up
    return copy


class WholeBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization over the parts of a batch that all devices have, with the arithmetic of Keras' fused one.

    Keras' own synchronized layer takes the variance as the difference of two large numbers and moves the biased one,
    so that it learns another curve than one device does.
    """

    def call(self, inputs: Any, training: bool | tf.Tensor | None = None) -> Any:
        """Return the normalized inputs; `training` is a bool, as Keras' fit gives it."""
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        x = tf.cast(inputs, self.moving_mean.dtype)  # inputs have 16 bits in mixed precision
        mean, variance, count = replicas.moments(x)
        rate = 1.0 - self.momentum
        unbiased = variance * (count / tf.maximum(count - 1.0, 1.0))
        for variable, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            variable.assign_sub((variable - tf.stop_gradient(value)) * rate)
        outputs = tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)
        return tf.cast(outputs, inputs.dtype)


_PLAIN = {keras.layers.BatchNormalization}
