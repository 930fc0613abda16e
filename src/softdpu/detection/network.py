"""A small detector that trains in minutes: three grids of cells, with the heads of YOLOv8."""

from __future__ import annotations

import math
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import keras

STRIDES = (8, 16, 32)
BINS = 16
_WIDTHS = (16, 32, 64, 96, 128)  # channels at strides 2 to 32 for a width of 1
_RARE = 0.01  # score of every class before training, since most cells hold nothing


def detector(classes: int, size: int, width: float = 0.5, bn_momentum: float = 0.9) -> keras.Model:
    """Build the network: float32[n, size, size, 3] to two outputs for each stride, sides and classes.

    Args:
        classes: how many there are.
        size: of the square input in pixels, a multiple of 32.
        width: share of the channels.
        bn_momentum: of the means and variances that BatchNormalization keeps.

    Raises:
        SoftdpuError: if the size is no multiple of the largest stride.
    """
    if size % STRIDES[-1]:
        raise SoftdpuError(
            f"the detector's input must be a multiple of {STRIDES[-1]} pixels, got {size} (model.input_size)"
        )
    layers = keras.layers
    channels = [max(8, int(count * width + 4) // 8 * 8) for count in _WIDTHS]

    def convolve(values: Any, count: int, name: str, stride: int = 1, kernel: int = 3) -> Any:
        values = layers.Conv2D(count, kernel, stride, "same", use_bias=False, name=f"{name}_conv")(values)
        values = layers.BatchNormalization(momentum=bn_momentum, name=f"{name}_bn")(values)
        return layers.ReLU(name=f"{name}_relu")(values)

    image = values = layers.Input((size, size, 3), name="image")
    grids = []
    for i, count in enumerate(channels):
        values = convolve(values, count, f"down{i}", stride=2)
        if i >= 2:
            values = convolve(values, count, f"body{i}")
            grids.append(values)
    for i in (1, 0):  # what the coarse grids saw goes to the finer ones
        above = layers.UpSampling2D(2, name=f"up{i}")(convolve(grids[i + 1], channels[i + 2], f"narrow{i}", kernel=1))
        grids[i] = convolve(layers.Concatenate(name=f"join{i}")([above, grids[i]]), channels[i + 2], f"merge{i}")
    outputs = []
    for stride, grid in zip(STRIDES, grids):  # noqa: B905 - strict is not in Python 3.7
        sides = convolve(grid, channels[2], f"sides{stride}")
        outputs.append(layers.Conv2D(4 * BINS, 1, name=f"sides{stride}")(sides))
        kinds = convolve(grid, channels[2], f"classes{stride}")
        rare = keras.initializers.Constant(-math.log(1 / _RARE - 1))
        outputs.append(layers.Conv2D(classes, 1, bias_initializer=rare, name=f"classes{stride}")(kinds))
    return keras.Model(image, outputs, name="detector")


def as_cells(model: keras.Model) -> keras.Model:
    """Return a model on the same layers, to train: one output, float32[n, cells, 4 * BINS + classes], finest first."""
    joined = []
    for sides, kinds in zip(model.outputs[::2], model.outputs[1::2]):  # noqa: B905 - strict is not in Python 3.7
        both = keras.layers.Concatenate()([sides, kinds])
        joined.append(keras.layers.Reshape((-1, both.shape[-1]))(both))
    return keras.Model(model.input, keras.layers.Concatenate(axis=1)(joined))
