"""A convolution and its BatchNormalization as one layer: both are trained, what they fold to is quantized.

In training the convolution runs with the kernel folded with the *moving* statistics, which is what is quantized in
inference too, and its output is rescaled to the batch's statistics (Jacob et al., 2018; Krishnamoorthi, 2018).
"""

from __future__ import annotations

from typing import Any

from softdpu.keras2 import replicas
from softdpu.keras2.api import import_internal, keras, tf
from softdpu.keras2.kinds import PRE_ACTIVATIONS
from softdpu.quantizer import configs
from softdpu.quantizer.float_transforms import fold_kernel
from softdpu.quantizer.legacy import deserialize, deserialize_layer, serialize
from softdpu.quantizer.quantizers import ANALYSE, CALIBRATE, EVALUATE, TRAIN, register
from softdpu.quantizer.wrappers import Slot, substitute

control_flow_util = import_internal("utils.control_flow_util")


class _ConvBN(keras.layers.Layer):
    """A convolution followed by its BatchNormalization and an activation; float."""

    kernel_name = "kernel"

    def __init__(
        self, conv_layer: keras.layers.Layer, bn_layer: keras.layers.Layer, activation: Any = None, **kwargs: Any
    ) -> None:
        kwargs.setdefault("name", f"quant_{conv_layer.name}_{bn_layer.name}")
        super().__init__(**kwargs)
        self.conv_layer = conv_layer
        self.bn_layer = bn_layer
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tf.TensorShape) -> None:
        """Build both layers."""
        self.conv_layer.build(input_shape)
        self.bn_layer.build(self.conv_layer.compute_output_shape(input_shape))
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        """Return the convolution's output shape."""
        return self.conv_layer.compute_output_shape(input_shape)

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
        """Return the activation of the normalized convolution."""
        return self.activation(self.bn_layer(self.conv_layer(inputs), training=training))

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable, dtype, both layers and the activation."""
        return {
            **super().get_config(),
            "conv_layer": serialize(self.conv_layer),
            "bn_layer": serialize(self.bn_layer),
            "activation": self._activation_config(),
        }

    def _activation_config(self) -> Any:
        return keras.activations.serialize(self.activation, use_legacy_format=True)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _ConvBN:
        """Return the layer of a configuration."""
        config = dict(config)
        for key in ("conv_layer", "bn_layer"):
            config[key] = deserialize_layer(config[key])
        if "quantize_config" in config:
            config["quantize_config"] = deserialize(config["quantize_config"])
        return cls(**config)


class _ConvBNQuantize(_ConvBN):
    """A convolution with BatchNormalization whose folded kernel and bias are fake-quantized."""

    def __init__(
        self,
        conv_layer: keras.layers.Layer,
        bn_layer: keras.layers.Layer,
        activation: Any,
        freeze_bn_delay: int | None,
        quantize_config: Any,
        mode: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(conv_layer, bn_layer, activation, **kwargs)
        self.freeze_bn_delay = freeze_bn_delay
        self.quantize_config = quantize_config
        self.mode = mode
        self._slots: list[Slot] = []

    def build(self, input_shape: tf.TensorShape) -> None:
        """Build both layers and the quantizers' variables."""
        super().build(input_shape)
        self.optimizer_step = self.add_weight(
            name="optimizer_step",
            shape=(),
            dtype=tf.int32,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        shapes = {self.kernel_name: self._kernel().shape, "bias": self.bn_layer.moving_mean.shape}
        for kind in ("weight", "bias"):
            for attribute, quantizer in self.quantize_config.pairs(kind):
                quantizer.build(shapes[attribute], attribute, self)
                self._slots.append(Slot(kind, attribute, quantizer, attribute))
        for attribute, quantizer in self.quantize_config.pairs("activation"):
            name = configs.activation_name(self.activation)
            if name != "NoQuantizeActivation":
                prefix = "pre_" if name in PRE_ACTIVATIONS else "post_"
                quantizer.build(None, prefix + attribute, self)
                self._slots.append(Slot("activation", prefix + attribute, quantizer, attribute))

    def slots(self) -> list[Slot]:
        """Return the quantized tensors: folded kernel, folded bias, activation."""
        return self._slots

    def _kernel(self) -> tf.Variable:
        return getattr(self.conv_layer, self.kernel_name)

    def _fold(self, mean: tf.Tensor, variance: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return (multiplier, folded kernel, folded bias) for the given statistics.

        The multiplier is the float32 one of the float transforms, gamma / sqrt(variance + epsilon). Each step is
        computed in float64 and rounded, which gives the same number and does not depend on how a graph is optimized.
        """
        root = tf.sqrt(tf.cast(variance + self.bn_layer.epsilon, tf.float64))
        gamma = tf.cast(self.bn_layer.gamma, tf.float64) if self.bn_layer.scale else 1.0
        multiplier = tf.cast(gamma / tf.cast(tf.cast(root, tf.float32), tf.float64), tf.float32)
        shift = (self.conv_layer.bias - mean if self.conv_layer.use_bias else -mean) * multiplier
        bias = self.bn_layer.beta + shift if self.bn_layer.center else shift
        return multiplier, fold_kernel(type(self.conv_layer).__name__, self._kernel(), multiplier), bias

    def parameter(self, attribute: str) -> tf.Tensor:
        """Return the folded kernel or bias of inference."""
        _, kernel, bias = self._fold(self.bn_layer.moving_mean, self.bn_layer.moving_variance)
        return bias if attribute == "bias" else kernel

    def _quantize(self, kind: str, value: tf.Tensor, training: bool | tf.Tensor | None) -> tf.Tensor:
        if self.mode == ANALYSE:
            return value
        mode = EVALUATE if self.mode == CALIBRATE else self.mode
        for slot in self._slots:
            if slot.kind == kind:
                value = slot.quantizer(value, training, mode)
        return value

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        values = {self.kernel_name: kernel, "use_bias": False, "activation": None}
        with substitute(self.conv_layer, values):
            return self.conv_layer.call(inputs)

    def _add_bias(self, outputs: tf.Tensor, bias: tf.Tensor, training: bool | tf.Tensor | None) -> tf.Tensor:
        return tf.nn.bias_add(outputs, self._quantize("bias", bias, training))

    def _convolve_by_moving_statistics(self, inputs: tf.Tensor, training: bool | tf.Tensor | None) -> tf.Tensor:
        _, kernel, bias = self._fold(self.bn_layer.moving_mean, self.bn_layer.moving_variance)
        return self._add_bias(self._convolve(inputs, self._quantize("weight", kernel, training)), bias, training)

    def _convolve_by_batch_statistics(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve with the inference kernel and rescale the result to the batch's statistics."""
        outputs = self.conv_layer.call(inputs)
        mean, variance, count = replicas.moments(outputs)
        self._update_statistics(mean, variance, count)
        moving_variance = tf.stop_gradient(tf.identity(self.bn_layer.moving_variance))
        _, kernel, _ = self._fold(mean, moving_variance)
        _, _, bias = self._fold(mean, variance)
        correction = tf.sqrt(moving_variance + self.bn_layer.epsilon) / tf.sqrt(variance + self.bn_layer.epsilon)
        outputs = self._convolve(inputs, self._quantize("weight", kernel, True)) * correction
        return self._add_bias(outputs, bias, True)

    def _update_statistics(self, mean: tf.Tensor, variance: tf.Tensor, count: tf.Tensor) -> None:
        """Move the moving statistics as Keras' fused normalization does, with the unbiased variance."""
        size = tf.cast(count, tf.float32)
        unbiased = variance * (size / tf.maximum(size - 1.0, 1.0))
        rate = 1.0 - self.bn_layer.momentum
        for variable, value in ((self.bn_layer.moving_mean, mean), (self.bn_layer.moving_variance, unbiased)):
            variable.assign_sub((variable - tf.stop_gradient(value)) * rate)

    def _train(self, inputs: tf.Tensor) -> tf.Tensor:
        self.optimizer_step.assign_add(1)
        if self.freeze_bn_delay is None or self.freeze_bn_delay < 0:
            return self._convolve_by_batch_statistics(inputs)
        return tf.cond(
            self.optimizer_step >= self.freeze_bn_delay,
            lambda: self._convolve_by_moving_statistics(inputs, True),
            lambda: self._convolve_by_batch_statistics(inputs),
        )

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
        """Return the fake-quantized activation of the folded convolution."""
        if training is None or self.mode != TRAIN:
            outputs = self._convolve_by_moving_statistics(inputs, False)
        else:
            outputs = control_flow_util.smart_cond(
                training, lambda: self._train(inputs), lambda: self._convolve_by_moving_statistics(inputs, False)
            )
        activation = self.activation
        for slot in self._slots:
            if slot.kind == "activation":
                activation = configs.QuantizeAwareActivation(self.activation, slot.quantizer, training, self.mode)
        return activation(outputs)

    def _activation_config(self) -> Any:
        return serialize(configs.QuantizeAwareActivation(self.activation))

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable, dtype, both layers, activation, freeze_bn_delay, quantize_config and mode."""
        return {
            **super().get_config(),
            "freeze_bn_delay": self.freeze_bn_delay,
            "quantize_config": serialize(self.quantize_config),
            "mode": self.mode,
        }


@register(package="Vitis", name="VitisConvBN")
class VitisConvBN(_ConvBN):
    """Conv2D and BatchNormalization, float."""


@register(package="Vitis", name="VitisDepthwiseConvBN")
class VitisDepthwiseConvBN(_ConvBN):
    """DepthwiseConv2D and BatchNormalization, float."""

    kernel_name = "depthwise_kernel"


@register(package="Vitis", name="VitisConvBNQuantize")
class VitisConvBNQuantize(_ConvBNQuantize):
    """Conv2D and BatchNormalization whose fold is fake-quantized."""


@register(package="Vitis", name="VitisDepthwiseConvBNQuantize")
class VitisDepthwiseConvBNQuantize(_ConvBNQuantize):
    """DepthwiseConv2D and BatchNormalization whose fold is fake-quantized."""

    kernel_name = "depthwise_kernel"
