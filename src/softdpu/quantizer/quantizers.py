"""The quantizer objects of a layer: they own the variables of one tensor and say how it is fake-quantized.

Names, parameters and configurations are those of AMD's h5 files. A layer's `mode` tells a quantizer what to do:
QCB (calibration: a new position for each batch, reported to the open `Observer`), QAT (a new position at each training
step, the stored one otherwise), QCBEV (the stored position always) or ANALYSE (measured as in QCB, but left float).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from softdpu.keras2.api import import_internal, keras, tf
from softdpu.quantizer import ops
from softdpu.quantizer.errors import QuantizerError

control_flow_util = import_internal("utils.control_flow_util")
register = keras.utils.register_keras_serializable

CALIBRATE, EVALUATE, TRAIN, ANALYSE = "QCB", "QCBEV", "QAT", "ANALYSE"


class Observer:
    """Collects what each quantizer measures on a calibration batch.

    `statistics` is a list of float32[3] tensors: position, f_min, f_max; `keys` names them in the same order.
    `broken` is the name of the first layer that met NaN or infinity.
    """

    current: Observer | None = None

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.statistics: list[tf.Tensor] = []
        self.broken = ""

    def __enter__(self) -> Observer:
        Observer.current = self
        return self

    def __exit__(self, *_: Any) -> None:
        Observer.current = None


def building_symbolically() -> bool:
    """Tell whether Keras only wants shapes now: the functional API calls each layer once in a scratch graph."""
    return getattr(tf.compat.v1.get_default_graph(), "name", "").endswith("_scratch_graph")


@dataclasses.dataclass(eq=False)
class Quantizer:
    """What Pof2SQuantizer and TQTQuantizer share: the parameters of AMD's configuration and the tensor's format."""

    bit_width: int
    method: int
    round_mode: int
    symmetry: bool = True
    per_channel: bool = False
    channel_axis: int = -1
    use_fixneuron_quant: int = 0
    unsigned: bool = False
    narrow_range: bool = False

    def __post_init__(self) -> None:
        if not self.symmetry:
            raise QuantizerError("expected symmetry=True: a DPU position has no zero point, got symmetry=False")
        if self.method not in (ops.NON_OVERFLOW, ops.MIN_MSE):
            raise QuantizerError(
                f"expected method 0 (non-overflow) or 1 (min-MSE) for a power-of-two scale, got {self.method}"
            )
        narrow, axis = self.narrow_range and not self.unsigned, self.channel_axis if self.per_channel else None
        self.form = ops.Format(self.bit_width, self.round_mode, self.unsigned, narrow, axis)
        self.weights: dict[str, tf.Variable] = {}
        self.key = ""

    def get_config(self) -> dict[str, Any]:
        """Return the nine parameters, in the order of AMD's files."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantizer:
        """Return the quantizer of a configuration; keys missing in old files have their defaults."""
        return cls(**config)

    def _add(self, layer: keras.layers.Layer, name: str, shape: Any, trainable: bool) -> tf.Variable:
        zero = keras.initializers.Constant(0.0)
        if trainable:
            return layer.add_weight(name=name, shape=shape, dtype="float32", initializer=zero, trainable=True)
        # Several devices that train together find the same range and position, of the whole batch.
        alike = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return layer.add_weight(
            name=name, shape=shape, dtype="float32", initializer=zero, trainable=False, aggregation=alike
        )

    def _variable_shape(self, tensor_shape: Any) -> tuple:
        if not self.per_channel:
            return ()
        if tensor_shape is None:
            raise QuantizerError(f"{self.key}: expected per_channel only for weights and biases, got an activation")
        shape = [1] * len(tensor_shape)
        shape[self.channel_axis] = int(tensor_shape[self.channel_axis])
        return tuple(shape)

    def build(self, tensor_shape: Any, name: str, layer: keras.layers.Layer) -> dict[str, tf.Variable]:
        """Create the variables `<name>_min`, `<name>_max` and the position's in `layer`, in AMD's order."""
        self.key = f"{layer.name}/{name}"
        shape = self._variable_shape(tensor_shape)
        self.weights = {
            "min_var": self._add(layer, name + "_min", shape, False),
            "max_var": self._add(layer, name + "_max", shape, False),
        }
        self._build_position(shape, name, layer)
        return self.weights

    def _build_position(self, shape: tuple, name: str, layer: keras.layers.Layer) -> None:
        raise NotImplementedError

    def __call__(self, x: tf.Tensor, training: bool | tf.Tensor | None, mode: str) -> tf.Tensor:
        """Return `x` fake-quantized as `mode` says; `training` is a bool or a scalar tensor, or None for no."""
        if building_symbolically():
            return tf.identity(x)
        x = tf.cast(x, tf.float32)
        if mode in (CALIBRATE, ANALYSE) and Observer.current is not None:
            quantized = self._calibrate(x, Observer.current)
            return quantized if mode == CALIBRATE else x
        if mode == ANALYSE:
            return x
        if mode == TRAIN and training is not None:
            return control_flow_util.smart_cond(training, lambda: self._train(x), lambda: self._evaluate(x))
        return self._evaluate(x)

    def _calibrate(self, x: tf.Tensor, observer: Observer) -> tf.Tensor:
        if not observer.broken and not tf.reduce_all(tf.math.is_finite(x)):
            observer.broken = self.key.split("/")[0]
        if observer.broken:
            return x
        f_min, f_max = ops.full_range(x, self.form)
        position = self._choose(x, f_min, f_max)
        observer.keys.append(self.key)
        observer.statistics.append(tf.stack([position, f_min, f_max]))
        return ops.round_and_saturate(x, position, self.form)

    def _choose(self, x: tf.Tensor, f_min: tf.Tensor, f_max: tf.Tensor) -> tf.Tensor:
        """Return the position for a tensor of this range."""
        return ops.choose_position(x, f_min, f_max, self.method, self.form)

    def _train(self, x: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def _evaluate(self, x: tf.Tensor) -> tf.Tensor:
        return ops.fake_quantize(x, self.position(), self.form)

    def position(self) -> tf.Tensor:
        """Return the tensor's position, float32[] (or one per channel)."""
        raise NotImplementedError

    def set_position(self, position: float) -> None:
        """Change the tensor's position."""
        raise NotImplementedError

    def _set_range(self, f_min: tf.Tensor, f_max: tf.Tensor) -> None:
        self.weights["min_var"].assign(f_min)
        self.weights["max_var"].assign(f_max)

    def initialize(self, x: tf.Tensor) -> None:
        """Set the variables from the one tensor `x`, outside any graph: how weights and biases are calibrated."""
        f_min, f_max = ops.full_range(x, self.form)
        self.store(self._choose(x, f_min, f_max), f_min, f_max)

    def store(self, position: Any, f_min: Any, f_max: Any) -> None:
        """Set the variables to what was measured: the range, and the position or the threshold that follows from it."""
        raise NotImplementedError


@register(package="Vitis", name="Pof2SQuantizer")
class Pof2SQuantizer(Quantizer):
    """A power-of-two scale, found from the tensor's values."""

    def _build_position(self, shape: tuple, name: str, layer: keras.layers.Layer) -> None:
        self.weights["quant_pos_var"] = self._add(layer, name + "_pos", shape, False)

    def position(self) -> tf.Tensor:
        """Return the stored position."""
        return self.weights["quant_pos_var"]

    def set_position(self, position: float) -> None:
        """Change the stored position."""
        self.weights["quant_pos_var"].assign(float(position))

    def _train(self, x: tf.Tensor) -> tf.Tensor:
        quantized, f_min, f_max, position = ops.fake_quantize_by_range(x, self.method, self.form)
        self.store(position, f_min, f_max)
        return quantized

    def store(self, position: Any, f_min: Any, f_max: Any) -> None:
        """Set range and position."""
        self._set_range(f_min, f_max)
        self.weights["quant_pos_var"].assign(position)


@register(package="Vitis", name="LastValueQuantPosQuantizer")
class LastValueQuantPosQuantizer(Pof2SQuantizer):
    """The name that Pof2SQuantizer had in files of versions 1.3 to 1.4."""


@register(package="Vitis", name="TQTQuantizer")
class TQTQuantizer(Quantizer):
    """A power-of-two scale whose threshold 2**log_th is trained; position = bit_width - 1 - ceil(log_th)."""

    def _build_position(self, shape: tuple, name: str, layer: keras.layers.Layer) -> None:
        if self.per_channel:
            raise QuantizerError(f"{self.key}: expected per_channel=False with trained thresholds, got True")
        self.weights["log_th_var"] = self._add(layer, name + "_log_th", shape, True)

    def position(self) -> tf.Tensor:
        """Return the position that the threshold stands for."""
        return self.bit_width - 1 - tf.math.ceil(self.weights["log_th_var"])

    def set_position(self, position: float) -> None:
        """Change the threshold to the one of a position."""
        self.weights["log_th_var"].assign(float(self.bit_width - 1 - position))

    def threshold(self, f_min: tf.Tensor, f_max: tf.Tensor) -> tf.Tensor:
        """Return log2 of the threshold at which a range does not saturate."""
        low, high = self.form.limits
        threshold = tf.maximum(tf.maximum(tf.abs(f_min), f_max * (-low / high)), 1e-9)
        return tf.math.log(threshold) / tf.math.log(2.0)

    def _choose(self, x: tf.Tensor, f_min: tf.Tensor, f_max: tf.Tensor) -> tf.Tensor:
        return self.bit_width - 1 - tf.math.ceil(self.threshold(f_min, f_max))

    def _train(self, x: tf.Tensor) -> tf.Tensor:
        f_min, f_max = ops.full_range(tf.stop_gradient(x), self.form)
        self._set_range(f_min, f_max)
        return self._evaluate(x)

    def _evaluate(self, x: tf.Tensor) -> tf.Tensor:
        return ops.fake_quantize_with_threshold(x, self.weights["log_th_var"], self.form)

    def store(self, position: Any, f_min: Any, f_max: Any) -> None:
        """Set the range, and the threshold so that nothing of it saturates."""
        self._set_range(f_min, f_max)
        self.weights["log_th_var"].assign(self.threshold(f_min, f_max))


@register(package="Vitis", name="LastValueLogThQuantizer")
class LastValueLogThQuantizer(TQTQuantizer):
    """The name that TQTQuantizer had in files of version 1.4."""


QUANTIZERS = {
    quantizer.__name__: quantizer
    for quantizer in (Pof2SQuantizer, LastValueQuantPosQuantizer, TQTQuantizer, LastValueLogThQuantizer)
}


def make_quantizer(entry: dict[str, Any]) -> Quantizer:
    """Return the quantizer of `{"quantizer_type": name, "quantizer_params": {...}}`."""
    kind = entry["quantizer_type"]
    if kind not in QUANTIZERS:
        raise QuantizerError(
            f"quantizer type {kind}: expected one of {', '.join(QUANTIZERS)} (strategies pof2s and pof2s_tqt)"
        )
    return QUANTIZERS[kind](**entry["quantizer_params"])
