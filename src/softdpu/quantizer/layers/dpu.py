"""Keras layers that compute what the DPU computes where Keras' own layer does not."""

from __future__ import annotations

import math

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.numbers import fixed_point
from softdpu.numbers.fixed_point import rescale_factor

register = keras.utils.register_keras_serializable


@register(package="Vitis", name="VitisSigmoid")
class VitisSigmoid(keras.layers.Layer):
    """The DPU's sigmoid: relu6(x + 3) * 2731 / 2**14."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the hard sigmoid of `inputs`, float32 of the same shape."""
        clipped = keras.activations.relu(tf.cast(inputs, tf.float32) + 3.0, max_value=6.0)
        return clipped * fixed_point.HARD_SIGMOID_SCALE / 2.0**fixed_point.HARD_SIGMOID_SHIFT

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        """Return `input_shape`."""
        return input_shape


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def dynamic_rescale_factor(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return `rescale_factor` of a global window whose size is known only when the graph runs, float32[]."""
    count = tf.cast(height * width, tf.float64)
    powers = tf.constant([2.0**m for m in range(23)], tf.float64)
    wholes = tf.round(powers / count)
    allowed = tf.range(23.0, dtype=tf.float64) < 7.0 + tf.math.ceil(tf.math.log(count) / math.log(2.0) - 1e-9)
    best = tf.argmin(tf.where(allowed, tf.abs(wholes / powers - 1.0 / count), np.inf))
    factor = count * tf.gather(wholes, best) / tf.gather(powers, best)
    for side in (3, 5, 6, 7, 14):
        square = tf.logical_and(tf.equal(height, side), tf.equal(width, side))
        factor = tf.where(square, tf.constant(rescale_factor(side, side, True), tf.float64), factor)
    return tf.cast(tf.where(tf.maximum(height, width) > 255, tf.ones_like(factor), factor), tf.float32)


@register(package="Vitis", name="VitisGlobalAveragePooling2D")
class VitisGlobalAveragePooling2D(keras.layers.GlobalAveragePooling2D):
    """The DPU's global average: the sum over the image times an integer factor n / 2**m.

    The sum comes first and is exact, so ties are the DPU's; the mean rounded to float32 would lose some of them.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return float32[batch, channels], or [batch, 1, 1, channels] with keepdims."""
        axes = [1, 2] if self.data_format == "channels_last" else [2, 3]
        height, width = (inputs.shape[axis] for axis in axes)
        if height is None or width is None:
            shape = tf.shape(inputs)
            return super().call(inputs) * dynamic_rescale_factor(shape[axes[0]], shape[axes[1]])
        factor = rescale_factor(height, width, True) / (height * width)
        return tf.reduce_sum(inputs, axes, keepdims=self.keepdims) * factor


@register(package="Vitis", name="AveragePooling2D")
class VitisAveragePooling2D(keras.layers.AveragePooling2D):
    """The DPU's average pooling: the mean over the window, times count * n / 2**m of the full window."""

    def build(self, input_shape: tf.TensorShape) -> None:
        """Fix the factor, which depends on the window alone (and on whether it covers the whole image)."""
        super().build(input_shape)
        output = self.compute_output_shape(input_shape).as_list()
        spatial = output[1:3] if self.data_format == "channels_last" else output[2:4]
        self._factor = rescale_factor(self.pool_size[0], self.pool_size[1], spatial == [1, 1])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return float32[batch, rows, columns, channels]."""
        count = self.pool_size[0] * self.pool_size[1]
        if _is_power_of_two(count) or self.data_format != "channels_last" or self._factor is None:
            return super().call(inputs) * self._factor
        return self._sum(inputs, self._factor / count) * self._border_correction(inputs, count)

    def _sum(self, inputs: tf.Tensor, factor: float) -> tf.Tensor:
        """Return the window sums times `factor`: a sum of integers times an integer, exact in float32."""
        kernel = tf.fill([*self.pool_size, inputs.shape[-1], 1], tf.cast(factor, inputs.dtype))
        rows, columns = self.strides
        if rows == columns:
            return tf.nn.depthwise_conv2d(inputs, kernel, (1, rows, columns, 1), self.padding.upper())
        # A depthwise convolution takes one stride for both directions only.
        if self.padding == "same":
            pads = [_same_padding(inputs.shape[1 + axis], self.pool_size[axis], self.strides[axis]) for axis in (0, 1)]
            inputs = tf.pad(inputs, [(0, 0), *pads, (0, 0)])
        return tf.nn.depthwise_conv2d(inputs, kernel, (1, 1, 1, 1), "VALID")[:, ::rows, ::columns]

    def _border_correction(self, inputs: tf.Tensor, count: int) -> tf.Tensor | float:
        """Return count / (number of window cells inside the image): the padding of SAME does not count."""
        return 1.0 if self.padding == "valid" else count / self._sum(tf.ones_like(inputs[:1, :, :, :1]), 1.0)


def _same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's padding of one direction, before and after."""
    total = max((-(-size // stride) - 1) * stride + window - size, 0)
    return total // 2, total - total // 2
