"""Configurations as Keras 2.12 wrote them, which is what AMD's tools read; newer Keras adds keys that they refuse."""

from __future__ import annotations

import json
from typing import Any

import h5py

from softdpu.output.files import PathLike

_NEW_KEYS = {"module", "class_name", "config", "registered_name"}
# Keys of layers that came after Keras 2.3, with their defaults: of global pooling, BatchNormalization.
_SINCE_2_3 = {"keepdims": False, "synchronized": False}


def make_legacy_config(value: Any) -> Any:
    """Return `value`, a configuration of any depth, in the form of Keras 2.12."""
    if isinstance(value, (list, tuple)):
        return [make_legacy_config(item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) >= _NEW_KEYS:
        if value["class_name"] == "function":
            return value["config"]
        name = value["registered_name"] or value["class_name"]
        return {"class_name": name, "config": make_legacy_config(value["config"])}
    result = {key: make_legacy_config(item) for key, item in value.items() if key != "shared_object_id"}
    if result.get("class_name") == "InputLayer":
        result["config"].pop("optional", None)
    result.pop("build_config", None)
    return result


def drop_new_defaults(value: Any) -> Any:
    """Return a configuration without the keys that Keras learned after 2.3, where they have their default value.

    Keras 2.3 is in the container of Vitis AI 1.4; a key that it does not know is an error there, the default is not.
    """
    if isinstance(value, (list, tuple)):
        return [drop_new_defaults(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: drop_new_defaults(item)
        for key, item in value.items()
        if not (key in _SINCE_2_3 and item == _SINCE_2_3[key])
    }


def make_legacy(path: PathLike) -> None:
    """Bring the configuration in a Keras .h5 file to the form that Keras 2.3 to 2.12 read, in place."""
    with h5py.File(str(path), "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(drop_new_defaults(make_legacy_config(config))).encode("utf-8")
