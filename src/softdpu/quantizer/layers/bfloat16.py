"""Softmax and layer normalization as AI engines compute them in bfloat16; switched on by options, off by default.

The order of the sums and every rounding to bfloat16 are part of the definition. AMD's compiler front end reads neither.
"""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import keras, tf
from softdpu.quantizer.errors import QuantizerError

register = keras.utils.register_keras_serializable

_SOFTMAX_LANES, _NORMALIZATION_LANES = 16, 8
_NEWTON_STEPS = 4
_RECIPROCAL_ROOT_START = 0x5F37  # the bfloat16 half of the well-known start value for 1 / sqrt(x)


def _round(x: tf.Tensor) -> tf.Tensor:
    """Return float32 values that bfloat16 can hold."""
    return tf.cast(tf.cast(x, tf.bfloat16), tf.float32)


def _lane_sum(x: tf.Tensor, lanes: int, name: str) -> tf.Tensor:
    """Return the sums over the last axis with that axis kept: first within each lane, then the lanes by halves."""
    channels = x.shape[-1]
    if channels is None or channels % lanes:
        raise QuantizerError(f"layer {name}: its last axis must be a multiple of {lanes}, it has {channels} values")
    parts = tf.reduce_sum(tf.reshape(x, [-1, channels // lanes, lanes]), axis=-2)
    while lanes > 2:
        lanes //= 2
        parts = parts[:, :lanes] + parts[:, lanes:]
    return tf.reshape(parts[:, 0] + parts[:, 1], tf.concat([tf.shape(x)[:-1], [1]], 0))


def _reciprocal(x: tf.Tensor) -> tf.Tensor:
    """Return 1 / x with 7 bits after the point, from the bits of a positive float32."""
    bits = tf.bitcast(x, tf.int32)
    exponent = tf.bitwise.right_shift(bits, 23)
    fraction = tf.bitwise.right_shift(tf.bitwise.bitwise_and(bits, 0x007FFFFF), 16)
    fraction += tf.cast(tf.bitwise.bitwise_and(bits, 0x8000) != 0, tf.int32)  # to the nearest seventh bit
    inverse = tf.cast(tf.round(2.0**15 / (128.0 + tf.cast(fraction, tf.float64)) - 128.0), tf.int32)
    return tf.bitcast(tf.bitwise.left_shift(253 - exponent, 23) + tf.bitwise.left_shift(inverse, 16), tf.float32)


def _reciprocal_root(x: tf.Tensor) -> tf.Tensor:
    """Return 1 / sqrt(x) in bfloat16 by Newton's method, as float32."""
    half = _round(_round(x) * 0.5)
    bits = tf.bitcast(tf.cast(x, tf.bfloat16), tf.int16)
    halved = tf.bitwise.right_shift(bits, tf.ones_like(bits))
    # Half of the bits, a tie to the even one.
    odd = tf.bitwise.bitwise_and(bits, tf.ones_like(bits)) * tf.bitwise.bitwise_and(halved, tf.ones_like(bits))
    y = tf.bitcast(tf.cast(_RECIPROCAL_ROOT_START, tf.int16) - halved - odd, tf.bfloat16)
    for _ in range(_NEWTON_STEPS):
        value = tf.cast(y, tf.float32)
        y = tf.cast(value * _round(1.5 + _round(-half * _round(value * value))), tf.bfloat16)
    return tf.cast(y, tf.float32)


@register(package="Vitis", name="VitisSoftmax")
class VitisSoftmax(keras.layers.Layer):
    """Softmax over the last axis in bfloat16, with a reciprocal of 7 bits."""

    def __init__(self, axis: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return float32 of the same shape; the last axis must be a multiple of 16."""
        exponentials = _round(tf.exp(inputs))
        return _round(exponentials * _reciprocal(_lane_sum(exponentials, _SOFTMAX_LANES, self.name)))

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        """Return `input_shape`."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable, dtype and axis."""
        return {**super().get_config(), "axis": self.axis}


@register(package="Vitis", name="VitisLayernorm")
class VitisLayernorm(keras.layers.LayerNormalization):
    """Normalization over the last axis in bfloat16."""

    def __init__(self, axis: Any, epsilon: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return float32 of the same shape; the last axis must be a multiple of 8."""
        x = _round(inputs)
        share = tf.constant(1.0 / x.shape[-1], tf.float32)
        difference = _round(x - _lane_sum(x, _NORMALIZATION_LANES, self.name) * share)
        variance = tf.reduce_mean(tf.square(difference), axis=-1, keepdims=True) + self.epsilon
        normalized = _round(difference * _reciprocal_root(variance))
        scaled = normalized if self.gamma is None else self.gamma * normalized
        return scaled if self.beta is None else scaled + self.beta
