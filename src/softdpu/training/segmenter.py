"""The float network of the task segmentation: a small U-Net of layers that every DPU has."""

from __future__ import annotations

from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.training.batches import keras
from softdpu.training.model import Network

CHANNELS = (32, 64, 128, 256)  # at alpha 1, by halvings of the image
STEP = 2 ** (len(CHANNELS) - 1)


def build_unet(network: Network) -> keras.Model:
    """Build the network; its output are logits, float32[n, size, size, classes].

    Args:
        network: its size is a multiple of STEP, its alpha the width; a dropout stands before the logits.

    Raises:
        SoftdpuError: if the size does not fit, or trained weights are asked for, which there are none of.
    """
    size = network.size
    if size % STEP:
        raise SoftdpuError(f"the U-Net's input must be a multiple of {STEP} pixels, got {size} (model.input_size)")
    if network.weights is not None or network.freeze_base:
        raise SoftdpuError("task segmentation trains from scratch: leave out model.weights and model.freeze_base")
    widths = [max(8, int(count * network.alpha)) for count in CHANNELS]
    x = images = keras.Input((size, size, 3), name="image")
    kept = []
    for level, width in enumerate(widths):
        x = _convolve(x, width, f"down{level}_a", network.bn_momentum, strides=2 if level else 1)
        x = _convolve(x, width, f"down{level}_b", network.bn_momentum)
        kept.append(x)
    for level in reversed(range(len(widths) - 1)):
        x = keras.layers.UpSampling2D(2, name=f"up{level}")(x)
        x = keras.layers.Concatenate(name=f"join{level}")([x, kept[level]])
        x = _convolve(x, widths[level], f"up{level}_a", network.bn_momentum)
    x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    logits = keras.layers.Conv2D(network.classes, 1, name="logits")(x)
    return keras.Model(images, logits, name="unet")


def _convolve(x: Any, width: int, name: str, momentum: float, strides: int = 1) -> Any:
    x = keras.layers.Conv2D(width, 3, strides=strides, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=momentum, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
