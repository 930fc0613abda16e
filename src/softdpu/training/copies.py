"""The copy of a network that is trained where the network itself cannot be: on several devices, or in mixed precision.

The network stays as it is, in float32 and with Keras' own layers; it gets the copy's weights in the end.
"""

from __future__ import annotations

from typing import Any

from softdpu.keras2 import keras, tf
from softdpu.training.devices import Devices

PRECISIONS = ("float16", "bfloat16")


def copy_to_train(model: Any, devices: Devices, precision: str | None = None) -> Any:
    """Return a copy of a functional model with the same weights.

    Args:
        model: float32.
        devices: with several of them, BatchNormalization takes its statistics over the whole batch as one device
            would, not over each device's part.
        precision: float16 or bfloat16, what all layers but the last compute in; their weights stay float32.
    """
    outputs = set(model.output_names)

    def copied(layer: Any) -> Any:
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
    return copy


class WholeBatchNormalization(keras.layers.BatchNormalization):
    """BatchNormalization over the parts of a batch that all devices have, with the arithmetic of Keras' fused one.

    Keras' own synchronized layer takes the variance as the difference of two large numbers and moves the biased one,
    so that it learns another curve than one device does.
    """

    def call(self, inputs: Any, training: Any = None) -> Any:
        """Return the normalized inputs; `training` is a bool, as Keras' fit gives it."""
        if not training or not self.trainable:
            return super().call(inputs, training=False)
        x = tf.cast(inputs, tf.float32)
        mean, variance, count = moments(x)
        rate = 1.0 - self.momentum
        unbiased = variance * (count / tf.maximum(count - 1.0, 1.0))
        for variable, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            variable.assign_sub((variable - tf.stop_gradient(value)) * rate)
        outputs = tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)
        return tf.cast(outputs, inputs.dtype)


def moments(x: Any) -> tuple[Any, Any, Any]:
    """Return each channel's mean and biased variance, float32[channels], and their count, over all devices."""
    context = tf.distribute.get_replica_context()
    axes = list(range(x.shape.rank - 1))
    size = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.concat([tf.reduce_sum(x, axes), [size]], 0))
    mean, count = total[:-1] / total[-1], tf.stop_gradient(total[-1])
    squares = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.reduce_sum(tf.math.squared_difference(x, mean), axes))
    return mean, squares / count, count


_PLAIN = {keras.layers.BatchNormalization}
