"""What the layer functions of the front end share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Layer
from softdpu.compiler.op_graph import Op


def weight(build: Builder, layer: Layer, key: str, rank: int) -> np.ndarray:
    """Return a weight, float32 with `rank` dimensions, or raise SoftdpuError if it is missing or not finite."""
    value = layer.weights.get(key)
    if value is None or np.ndim(value) != rank:
        raise build.error(layer, f"holds no weight '{key}' of {rank} dimensions: the file is damaged")
    if not np.all(np.isfinite(value)):
        raise build.error(layer, f"weight '{key}' holds NaN or infinity: train the model again")
    return value


def pair(value: Any) -> tuple[int, int]:
    """Return (height, width) of a config value, which may be one number for both."""
    return (int(value[0]), int(value[1])) if isinstance(value, Sequence) else (int(value), int(value))


def image(build: Builder, layer: Layer, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return (batch, height, width, channels) of an image, or raise SoftdpuError if it is none."""
    if len(shape) != 4:
        raise build.error(layer, f"expected an input of height, width and channels, got {shape}")
    if layer.config.get("data_format", "channels_last") == "channels_first":
        raise build.error(layer, "channels_first is not supported: build the model with channels_last")
    return shape[0], shape[1], shape[2], shape[3]


def window(
    build: Builder, layer: Layer, shape: tuple[int, ...], window: Sequence[int]
) -> tuple[dict[str, Any], tuple[int, int, int]]:
    """Return the attributes of a sliding window and (batch, height, width) of what it makes."""
    batch, height, width, _ = image(build, layer, shape)
    strides = pair(layer.config.get("strides") or window)
    dilation = pair(layer.config.get("dilation_rate", 1))
    same = layer.config["padding"] == "same"
    size = [
        -(-extent // stride) if same else (extent - (reach - 1) * step - 1) // stride + 1
        for extent, stride, reach, step in zip((height, width), strides, window, dilation, strict=True)
    ]
    if min(size) < 1:
        raise build.error(layer, f"a window of {tuple(window)} does not fit an input of {height} x {width}")
    attrs = {
        "kernel": [int(window[1]), int(window[0])],
        "stride": list(strides[::-1]),
        "dilation": list(dilation[::-1]),
        "pad_mode": "SAME" if same else "VALID",
        "pad": [0, 0, 0, 0],
    }
    return attrs, (batch, size[0], size[1])


def scale(build: Builder, layer: Layer, op: Op, factor: float) -> Op:
    """Append a product of `op` with a constant and return it."""
    const = build.add_constant(layer, f"{op.name}_const_const", factor)
    return build.add(layer, f"{op.name}_elemmul", "mul", {"input": [op, const]}, {}, op.shape)
