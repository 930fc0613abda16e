"""What of a layer is quantized, and how: the `quantize_config` of AMD's h5 files, and the activations it knows."""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import keras, tf
from softdpu.keras2.kinds import POST_ACTIVATIONS, PRE_ACTIVATIONS
from softdpu.quantizer.legacy import make_legacy_config
from softdpu.quantizer.quantizers import Quantizer, make_quantizer, register

KINDS = ("input", "weight", "bias", "activation", "output")
_PLURALS = {kind: kind + ("es" if kind == "bias" else "s") for kind in KINDS}


def activation_name(activation: Any) -> str:
    """Return the name of a function, or the class of an activation object."""
    return getattr(activation, "__name__", activation.__class__.__name__)


@register(package="Vitis", name="NoQuantizeActivation")
class NoQuantizeActivation:
    """A linear activation that is not quantized: the layer after it quantizes the result of both."""

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return `x`."""
        return x

    def get_config(self) -> dict[str, Any]:
        """Return {}."""
        return {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoQuantizeActivation)

    def __hash__(self) -> int:
        return hash(type(self))


@register(package="Vitis", name="QuantizeAwareActivation")
class QuantizeAwareActivation:
    """An activation with its quantizer, before or after the function as PRE_ACTIVATIONS says.

    Its configuration is {"activation": the function}; reading it gives the bare function again, which the wrapper of
    the layer then equips with a quantizer.
    """

    def __init__(
        self,
        activation: Any,
        quantizer: Quantizer | None = None,
        training: bool | tf.Tensor | None = None,
        mode: str = "",
    ) -> None:
        self.activation = activation
        self.quantizer = quantizer
        self.training = training
        self.mode = mode

    def __call__(self, x: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
        """Return the quantized activation of `x`."""
        name = activation_name(self.activation)
        if self.quantizer is not None and name in PRE_ACTIVATIONS:
            x = self.quantizer(x, self.training, self.mode)
        x = self.activation(x, *args, **kwargs)
        if self.quantizer is not None and name in POST_ACTIVATIONS:
            x = self.quantizer(x, self.training, self.mode)
        return x

    def get_config(self) -> dict[str, Any]:
        """Return {"activation": the configuration of the function}."""
        return {"activation": make_legacy_config(keras.activations.serialize(self.activation, use_legacy_format=True))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return the bare function of a configuration."""
        return keras.activations.deserialize(config["activation"], use_legacy_format=True)


@register(package="Vitis", name="VitisQuantizeConfig")
class VitisQuantizeConfig:
    """Names of the quantized tensors of a layer, by kind, each with its quantizer.

    Attributes:
        entries: for each kind of KINDS the list of quantizable names (numbers for inputs and outputs).
        quantizers: for each kind the quantizers in the same order.
    """

    def __init__(self, **lists: Any) -> None:
        self.entries = {kind: list(lists.get("quantizable_" + _PLURALS[kind], [])) for kind in KINDS}
        self._described = {kind: list(lists.get(kind + "_quantizers", [])) for kind in KINDS}
        self._move_biases()
        self.quantizers = {kind: [make_quantizer(entry) for entry in self._described[kind]] for kind in KINDS}

    def _move_biases(self) -> None:
        """Move `bias` from the weights, where files of versions 1.3 and 1.4 list it."""
        if "bias" in self.entries["weight"]:
            index = self.entries["weight"].index("bias")
            self.entries["bias"].append(self.entries["weight"].pop(index))
            self._described["bias"].append(self._described["weight"].pop(index))

    def pairs(self, kind: str) -> list[tuple[Any, Quantizer]]:
        """Return (name, quantizer) of every quantized tensor of a kind."""
        return list(zip(self.entries[kind], self.quantizers[kind]))  # noqa: B905 - strict is not in Python 3.7

    def get_config(self) -> dict[str, Any]:
        """Return the ten lists of AMD's files."""
        config: dict[str, Any] = {}
        for kind in KINDS:
            config["quantizable_" + _PLURALS[kind]] = self.entries[kind]
            config[kind + "_quantizers"] = self._described[kind]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VitisQuantizeConfig:
        """Return the object of a configuration; lists missing in old files are empty."""
        return cls(**config)


@register(package="Vitis", name="NoQuantizeConfig")
class NoQuantizeConfig:
    """Nothing of the layer is quantized: the layer after it quantizes the result of both."""

    def pairs(self, kind: str) -> list[tuple[Any, Quantizer]]:
        """Return no pair."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return {}."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> NoQuantizeConfig:
        """Return the object."""
        return cls()
