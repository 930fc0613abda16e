"""Configurations as Keras 2.12 wrote them, which is what AMD's tools read; newer Keras adds keys that they refuse."""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import internal, keras
from softdpu.keras2.config import legacy_config
from softdpu.quantizer.errors import QuantizerError

functional = internal("engine.functional")
serialization = internal("saving.legacy.serialization")


def serialize(instance: Any) -> dict[str, Any]:
    """Return {"class_name", "config"} of a layer, quantizer or other Keras object."""
    return legacy_config(serialization.serialize_keras_object(instance))


def deserialize(entry: dict[str, Any]) -> Any:
    """Return a new quantizer or quantize_config from {"class_name", "config"}."""
    return serialization.deserialize_keras_object(entry)


def deserialize_layer(entry: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> keras.layers.Layer:
    """Return a new layer from {"class_name", "config"}."""
    try:
        return keras.layers.deserialize(entry, custom_objects=custom_objects, use_legacy_format=True)
    except ValueError as error:
        if not str(error).startswith("Unknown layer"):
            raise
        name = entry["class_name"]
        raise QuantizerError(
            f"layer {entry['config'].get('name')}: class {name} is not known; pass custom_objects={{'{name}': {name}}}"
        ) from None


def model_config(model: keras.Model) -> dict[str, Any]:
    """Return the configuration of a functional model in the form of Keras 2.12."""
    had = getattr(model, "use_legacy_config", False)
    model.use_legacy_config = True
    try:
        return legacy_config(functional.Functional.get_config(model))
    finally:
        if not had:
            del model.use_legacy_config


class Functional(functional.Functional):  # type: ignore[name-defined]
    """A functional model whose files AMD's tools can read: it writes its configuration as Keras 2.12 did.

    It carries the name of its base class because that name is what the file records.
    """

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; the one of an h5 file has the form of Keras 2.12."""
        config = super().get_config()
        return legacy_config(config) if getattr(self, "use_legacy_config", False) else config
