"""The Keras layers of a quantized model: VitisQuantize, QuantizeWrapper and CustomOpWrapper."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from typing import Any, Iterator  # noqa: UP035 - the annotations' ABCs are not generic before Python 3.9

from softdpu.keras2.api import keras, tf
from softdpu.keras2.kinds import POST_ACTIVATIONS, PRE_ACTIVATIONS
from softdpu.quantizer import configs
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.legacy import deserialize, deserialize_layer, serialize
from softdpu.quantizer.quantizers import ANALYSE, CALIBRATE, EVALUATE, TRAIN, Quantizer, register

MODES = (CALIBRATE, EVALUATE, TRAIN, ANALYSE)


@dataclasses.dataclass(frozen=True)
class Slot:
    """One quantized tensor of a layer.

    Attributes:
        kind: input, weight, bias, activation or output.
        name: the prefix of its variables: kernel, bias, post_activation, output_0, ...
        attribute: of the inner layer, for weights, biases and activations.
    """

    kind: str
    name: str
    quantizer: Quantizer
    attribute: str = ""


_REPLACED: dict[int, dict[str, Any]] = {}  # attributes of the layers that are inside `replaced`, by their id


def _check_mode(mode: str) -> str:
    if mode not in MODES:
        raise QuantizerError(f"expected a mode of {', '.join(MODES)}, got {mode}")
    return mode


def _step_counter(layer: keras.layers.Layer) -> tf.Variable:
    """Add the variable `optimizer_step` that AMD's files have; nothing counts it."""
    return layer.add_weight(
        name="optimizer_step",
        shape=(),
        dtype=tf.int32,
        initializer=keras.initializers.Constant(-1),
        trainable=False,
    )


@register(package="Vitis", name="VitisQuantize")
class VitisQuantize(keras.layers.Layer):
    """Fake-quantizes its input: what a model's inputs and tensors that come from float layers pass through."""

    def __init__(self, quantizer: Quantizer, mode: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizer = quantizer
        self.mode = _check_mode(mode)

    def build(self, input_shape: tf.TensorShape) -> None:
        """Create the variables `<layer>_min`, `_max`, `_pos` (or `_log_th`) and `optimizer_step`."""
        self.quantizer.build(input_shape, self.name, self)
        self.optimizer_step = _step_counter(self)
        super().build(input_shape)

    def slots(self) -> list[Slot]:
        """Return the one slot, of kind input."""
        return [Slot("input", self.name, self.quantizer)]

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: tf.Tensor, training: bool | tf.Tensor | None = None) -> tf.Tensor:
        """Return the fake-quantized input."""
        return self.quantizer(inputs, training, self.mode)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        """Return `input_shape`."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable, dtype, quantizer and mode."""
        return {**super().get_config(), "quantizer": serialize(self.quantizer), "mode": self.mode}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VitisQuantize:
        """Return the layer of a configuration."""
        config = dict(config)
        return cls(quantizer=deserialize(config.pop("quantizer")), **config)


@contextlib.contextmanager
def substitute(layer: keras.layers.Layer, values: dict[str, Any]) -> Iterator[None]:
    """Put `values` in place of attributes of `layer` for the block, behind the back of Keras' variable tracking.

    A block may begin before another one of the same layer has ended: each of several GPUs traces the layer in a thread,
    and they wait for each other in the middle. The first to begin knows the layer's own attributes.
    """
    first = _REPLACED.setdefault(id(layer), {name: layer.__dict__[name] for name in values})
    layer.__dict__.update(values)
    try:
        yield
    finally:
        layer.__dict__.update(first)
        _REPLACED.pop(id(layer), None)


class _Wrapper(keras.layers.Wrapper):
    """What the two wrappers share: the inner layer's weights come first, its `call` is called directly."""

    def _inner_call(self, inputs: Any, training: bool | tf.Tensor | None, **kwargs: Any) -> Any:
        parameters = inspect.signature(self.layer.call).parameters
        if "training" in parameters:
            kwargs["training"] = False if training is None else training  # RandomCrop takes None for no answer
        return self.layer.call(inputs, **kwargs)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        """Return the inner layer's output shape."""
        return self.layer.compute_output_shape(input_shape)

    @staticmethod
    def _inner_layer(config: dict[str, Any]) -> keras.layers.Layer:
        return deserialize_layer(config.pop("layer"))


@register(package="Vitis", name="QuantizeWrapper")
class QuantizeWrapper(_Wrapper):
    """Runs a layer with fake-quantized weights, biases and activations, or fake-quantizes its output."""

    def __init__(self, layer: keras.layers.Layer, quantize_config: Any, mode: str, **kwargs: Any) -> None:
        kwargs.setdefault("name", "quant_" + layer.name)
        super().__init__(layer, **kwargs)
        self.quantize_config = quantize_config
        self.mode = _check_mode(mode)
        self._slots: list[Slot] = []
        for attribute, _ in quantize_config.pairs("activation"):
            self._check_activation(getattr(layer, attribute))

    def _check_activation(self, activation: Any) -> None:
        name = configs.activation_name(activation)
        if name not in PRE_ACTIVATIONS | POST_ACTIVATIONS | {"NoQuantizeActivation"}:
            known = ", ".join(sorted(PRE_ACTIVATIONS | POST_ACTIVATIONS))
            raise QuantizerError(
                f"layer {self.layer.name}: activation {name} cannot be quantized; only some Keras activations are "
                f"supported ({known}); move it to a layer of its own and list that in ignore_layers"
            )

    def build(self, input_shape: tf.TensorShape) -> None:
        """Build the inner layer and create the quantizers' variables in AMD's order."""
        super().build(input_shape)
        self.optimizer_step = _step_counter(self)
        slots = []
        for kind in ("weight", "bias"):
            for attribute, quantizer in self.quantize_config.pairs(kind):
                weight = getattr(self.layer, attribute, None)
                if weight is not None:
                    quantizer.build(weight.shape, attribute, self)
                    slots.append(Slot(kind, attribute, quantizer, attribute))
        for attribute, quantizer in self.quantize_config.pairs("activation"):
            name = configs.activation_name(getattr(self.layer, attribute))
            if name in PRE_ACTIVATIONS:
                slots.append(self._activation_slot("pre_" + attribute, quantizer, attribute))
            elif name in POST_ACTIVATIONS:
                slots.append(self._activation_slot("post_" + attribute, quantizer, attribute))
        for index, quantizer in self.quantize_config.pairs("output"):
            quantizer.build(None, f"output_{index}", self)
            slots.append(Slot("output", f"output_{index}", quantizer))
        self._slots = slots

    def _activation_slot(self, name: str, quantizer: Quantizer, attribute: str) -> Slot:
        quantizer.build(None, name, self)
        return Slot("activation", name, quantizer, attribute)

    def slots(self) -> list[Slot]:
        """Return the quantized tensors: weights, biases, activations, outputs."""
        return self._slots

    def parameter(self, attribute: str) -> tf.Variable:
        """Return a weight or bias of the inner layer, float."""
        return getattr(self.layer, attribute)

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs: Any, training: bool | tf.Tensor | None = None, **kwargs: Any) -> Any:
        """Return the layer's output, fake-quantized."""
        values: dict[str, Any] = {}
        outputs_to_quantize = []
        # Weights and biases are calibrated once, not with every batch.
        weight_mode = EVALUATE if self.mode == CALIBRATE else self.mode
        for slot in self._slots:
            if slot.kind in ("weight", "bias"):
                if self.mode == ANALYSE:
                    continue
                values[slot.attribute] = slot.quantizer(self.parameter(slot.attribute), training, weight_mode)
            elif slot.kind == "activation":
                function = getattr(self.layer, slot.attribute)
                values[slot.attribute] = configs.QuantizeAwareActivation(function, slot.quantizer, training, self.mode)
            else:
                outputs_to_quantize.append(slot)
        with substitute(self.layer, values):
            outputs = self._inner_call(inputs, training, **kwargs)
        for slot in outputs_to_quantize:
            outputs = slot.quantizer(outputs, training, self.mode)
        return outputs

    def _own_trainable(self) -> list[tf.Variable]:
        """Return kernel and bias, each after its trained threshold if it has one, then what else can be trained.

        Quantized weights can be trained even if the float model had frozen them: what is frozen here is this layer.
        """
        ordered: list[tf.Variable] = []
        for slot in self._slots:
            if slot.kind in ("weight", "bias"):
                ordered += [v for v in self._trainable_weights if any(v is w for w in slot.quantizer.weights.values())]
                ordered.append(self.parameter(slot.attribute))
        return self._dedup_weights(ordered + self.layer.trainable_weights + list(self._trainable_weights))

    @property
    def trainable_weights(self) -> list[tf.Variable]:
        """The weights that training changes, in the order of AMD's files."""
        return self._own_trainable() if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        """The inner layer's, then the quantizers' variables; all weights if the layer is frozen."""
        trainable = self._own_trainable()
        inner = self.layer.trainable_weights + self.layer.non_trainable_weights
        rest = [v for v in inner if not any(v is w for w in trainable)] + list(self._non_trainable_weights)
        return self._dedup_weights(rest if self.trainable else trainable + rest)

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable, dtype, layer, quantize_config and mode, as AMD's files have them."""
        layer = serialize(self.layer)
        for attribute, _ in self.quantize_config.pairs("activation"):
            activation = configs.QuantizeAwareActivation(getattr(self.layer, attribute))
            layer["config"][attribute] = serialize(activation)
        return {
            **keras.layers.Layer.get_config(self),
            "layer": layer,
            "quantize_config": serialize(self.quantize_config),
            "mode": self.mode,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> QuantizeWrapper:
        """Return the layer of a configuration."""
        config = dict(config)
        layer = cls._inner_layer(config)
        return cls(layer=layer, quantize_config=deserialize(config.pop("quantize_config")), **config)


@register(package="Vitis", name="CustomOpWrapper")
class CustomOpWrapper(_Wrapper):
    """Marks a layer of the user's own, which stays float and keeps its name."""

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any) -> None:
        kwargs.setdefault("name", layer.name)
        super().__init__(layer, **kwargs)

    def call(self, inputs: Any, training: bool | tf.Tensor | None = None, **kwargs: Any) -> Any:
        """Return the inner layer's output."""
        return self._inner_call(inputs, training, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return name, trainable, dtype and layer."""
        return {**keras.layers.Layer.get_config(self), "layer": serialize(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CustomOpWrapper:
        """Return the layer of a configuration."""
        config = dict(config)
        return cls(layer=cls._inner_layer(config), **config)


def list_quantized_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Return the layers of a model that own quantizers, in the model's order."""
    return [layer for layer in model.layers if hasattr(layer, "slots")]


def is_quantized(model: keras.Model) -> bool:
    """Tell whether a model has a quantized layer, however deep in nested models."""
    return any(hasattr(layer, "slots") for layer in model._flatten_layers())


def set_mode(model: keras.Model, mode: str) -> None:
    """Set the mode of every quantized layer; functions that Keras has traced before keep the old one."""
    for layer in list_quantized_layers(model):
        layer.mode = _check_mode(mode)
