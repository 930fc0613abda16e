"""What a float model brings along that training needed and inference does not: it goes before anything else is done."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras
from softdpu.keras2.kinds import AUGMENTATIONS
from softdpu.quantizer.keras_graph import Graph, Node

_SHORT = ("float16", "bfloat16")


@contextlib.contextmanager
def compute_in_float32() -> Iterator[None]:
    """Let the layers made inside compute in float32, whatever the program has set for its training."""
    policy, floatx = keras.mixed_precision.global_policy(), keras.backend.floatx()
    keras.backend.set_floatx("float32")
    keras.mixed_precision.set_global_policy("float32")
    try:
        yield
    finally:
        keras.backend.set_floatx(floatx)
        keras.mixed_precision.set_global_policy(policy)


def apply(graph: Graph, remove_idle: bool) -> None:
    """Bring a float graph to float32 and take out what does nothing at inference, in place.

    Args:
        remove_idle: whether augmentation and Identity go, as Dropout does.
    """
    for node in graph:
        _to_float32(node)
        if node.ignored:
            continue
        is_idle = remove_idle and node.class_name.split(">")[-1] in (*AUGMENTATIONS, "Identity")
        # Zeros where it masks zeros are what is there already.
        if is_idle or (node.class_name == "Masking" and node.config["mask_value"] == 0):
            graph.remove(node)


def _to_float32(node: Node) -> None:
    """Let a layer of a model trained in mixed precision, or in half, compute in float32; its weights are float32."""
    node.config = _widen(node.config)
    for name, weight in node.weights.items():
        if weight.dtype.name in _SHORT:
            node.weights[name] = weight.astype(np.float32)


def _widen(value: Any) -> Any:
    """Return a configuration in which every `dtype` of 16 bits, or policy that has one, is float32."""
    if isinstance(value, (list, tuple)):
        return [_widen(item) for item in value] if any(isinstance(item, dict) for item in value) else value
    if not isinstance(value, dict):
        return value
    return {key: "float32" if key == "dtype" and _is_short(item) else _widen(item) for key, item in value.items()}


def _is_short(dtype: Any) -> bool:
    name = (dtype.get("config") or {}).get("name") if isinstance(dtype, dict) else dtype
    return isinstance(name, str) and name.replace("mixed_", "") in _SHORT
