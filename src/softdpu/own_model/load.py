"""A Keras model file as a live Keras 2 model: built from its configuration, with its weights put in layer by layer."""

from __future__ import annotations

import copy
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import h5py
import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.keras2 import door
from softdpu.keras2.kinds import DROPOUTS, MODELS
from softdpu.own_model.model_file import ModelFile
from softdpu.training.batches import keras

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # of a .keras, by Keras' version


def load(file: ModelFile, size: tuple[int, int]) -> keras.Model:
    """Return the model of a file.

    Args:
        file: what model_file.read gives.
        size: height and width for inputs that the file leaves open.

    Raises:
        SoftdpuError: if a layer is unknown to Keras 2, or its weights are missing or do not fit.
    """
    config = copy.deepcopy(file.config)
    for entry in _entries(config):
        _fix_size(entry["config"], size)
    kind = keras.Sequential if config["class_name"] == "Sequential" else keras.Model
    door.check_classes(config, file.path)
    try:
        with file.weights() as weights:
            held = door.check_weights(weights, file.path)
    except SoftdpuError:
        raise
    except Exception as error:  # what h5py raises over a damaged file
        raise SoftdpuError(
            f"{file.path}: its weights are damaged ({_first_line(error)}); save the model again (model.file)"
        ) from None
    try:
        with door.building(held, file.path):
            model = kind.from_config(config["config"])
        if not model.inputs:
            raise ValueError("it has no input shape; begin it with keras.Input")
    except SoftdpuError:
        raise
    except Exception as error:  # whatever Keras raises over a configuration that it cannot build
        raise SoftdpuError(
            f"{file.path} has what Keras 2's layers do not: {_first_line(error)}; build it from Keras' own layers"
            " (model.file)"
        ) from None
    with file.weights() as weights:
        try:
            (_fill_from_archive if file.is_archive else _fill_from_h5)(model, weights)
        except SoftdpuError:
            raise
        except Exception as error:  # what h5py and numpy raise over damaged weights, or those of other layers
            raise SoftdpuError(
                f"{file.path}: the weights do not fit the layers ({_first_line(error)}); save the model again"
                " (model.file)"
            ) from None
    return model


def _entries(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield model
    for entry in model["config"]["layers"]:
        if entry["class_name"] in MODELS:
            yield from _entries(entry)
        else:
            yield entry


def _fix_size(config: dict[str, Any], size: tuple[int, int]) -> None:
    """Give an open height and width a value."""
    for key in ("batch_input_shape", "build_input_shape"):
        shape = config.get(key)
        if shape and len(shape) == 4 and shape[1] is None and shape[2] is None:
            config[key] = [shape[0], *size, shape[3]]


def _fill_from_h5(model: keras.Model, weights: h5py.Group) -> None:
    """Put the weights of an .h5 in: a group a layer, whose attribute weight_names has them in Keras' order."""
    for layer in model.layers:
        if _count(layer) == 0:
            continue
        group = weights[layer.name]
        names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
        found = [group[name] for name in names]
        _set(layer, [np.asarray(value) for value in found if value.dtype.kind == "f" or value.shape == ()])


def _fill_from_archive(model: keras.Model, weights: h5py.Group) -> None:
    """Put the weights of a .keras in: Keras names a layer's group by its class, counted over the model's layers."""
    container = next(weights[name] for name in _CONTAINERS if name in weights)
    used: dict[str, int] = {}
    for layer in model.layers:
        name = keras.src.utils.generic_utils.to_snake_case(type(layer).__name__)
        number = used.get(name, 0)
        used[name] = number + 1
        if _count(layer) == 0:
            continue
        group = container[f"{name}_{number}" if number else name]
        if isinstance(layer, keras.Model):
            _fill_from_archive(layer, group)
        else:
            stored = group["vars"]
            _set(layer, [np.asarray(stored[key]) for key in sorted(stored, key=int)])


def _weights(layer: keras.layers.Layer) -> list[Any]:
    """Return a layer's weights without the states of random generators."""
    inner = layer._flatten_layers() if isinstance(layer, keras.Model) else [layer]
    skipped = {id(weight) for one in inner if type(one).__name__ in DROPOUTS for weight in one.weights}
    return [weight for weight in layer.weights if id(weight) not in skipped]


def _count(layer: keras.layers.Layer) -> int:
    return len(_weights(layer))


def _set(layer: keras.layers.Layer, values: list[np.ndarray]) -> None:
    variables = _weights(layer)
    if [tuple(variable.shape) for variable in variables] != [value.shape for value in values]:
        raise ValueError(
            f"layer {layer.name} has the shapes {[tuple(variable.shape) for variable in variables]}, the file"
            f" {[value.shape for value in values]}"
        )
    keras.backend.batch_set_value(list(zip(variables, values)))  # noqa: B905 - strict is not in Python 3.7


def _first_line(error: Exception) -> str:
    text = str(error.args[0] if error.args else error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
