"""Configurations as Keras 2.12 wrote them, which is what AMD's tools read; newer Keras adds keys that they refuse."""

from __future__ import annotations

from typing import Any

from softdpu.keras2 import kinds
from softdpu.keras2.api import import_internal, keras
from softdpu.keras2.config import make_legacy_config
from softdpu.quantizer.errors import QuantizerError

functional = import_internal("engine.functional")
serialization = import_internal("saving.legacy.serialization")


def serialize(instance: Any) -> dict[str, Any]:
    """Return {"class_name", "config"} of a layer, quantizer or other Keras object."""
    return make_legacy_config(serialization.serialize_keras_object(instance))


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
        return make_legacy_config(functional.Functional.get_config(model))
    finally:
        if not had:
            del model.use_legacy_config


def shapes_to_note(model: keras.Model) -> dict[str, list[int]]:
    """Return the output shapes, with batch size 1, of the layers whose configuration does not say them.

    The compiler, which knows no TensorFlow, reads them from the model's file. Shapes that are not known are left out.
    """
    shapes = {}
    for layer in model.layers:
        inner = layer.layer if type(layer).__name__ in ("QuantizeWrapper", "CustomOpWrapper") else layer
        own = type(inner).__module__.split(".")[0] not in ("tf_keras", "keras", "softdpu")
        if own or type(inner).__name__ not in kinds.SHAPE_FOLLOWS | kinds.KEEP_SHAPE:
            shape = getattr(layer, "output_shape", None)  # none where calls of one layer make different shapes
            if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape[1:]):
                shapes[layer.name] = [1, *shape[1:]]
    return shapes


class Functional(functional.Functional):  # type: ignore[name-defined]
    """A functional model whose files AMD's tools can read: it writes its configuration as Keras 2.12 did.

    It carries the name of its base class because that name is what the file records.
    """

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; the one of an h5 file has the form of Keras 2.12."""
        config = super().get_config()
        if not getattr(self, "use_legacy_config", False):
            return config
        shapes = shapes_to_note(self)
        return {**make_legacy_config(config), **({"output_shapes": shapes} if shapes else {})}
