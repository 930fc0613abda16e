"""A kernel seen channel by channel, for every kind of convolution."""

from __future__ import annotations

import numpy as np

from softdpu.keras2.api import keras

L = keras.layers


def output_axes(layer: keras.layers.Layer) -> tuple[int, ...]:
    """Return the kernel's axes that number the output channels, in their order."""
    if isinstance(layer, L.DepthwiseConv2D):
        return 2, 3
    if isinstance(layer, L.Conv2DTranspose):
        return (2,)
    return (layer.kernel.shape.rank - 1,)


def input_axis(layer: keras.layers.Layer) -> int | None:
    """Return the kernel's axis that numbers the input channels, or None where it does not number all of them."""
    if isinstance(layer, L.Conv2DTranspose):
        return 3
    if isinstance(layer, L.Dense):
        return 0
    return 2 if layer.groups == 1 or isinstance(layer, L.DepthwiseConv2D) else None


def by_output(kernel: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """Return the kernel as [output channels, weights of one]."""
    axes = output_axes(layer)
    moved = np.moveaxis(kernel, axes, range(len(axes)))
    return moved.reshape(int(np.prod(moved.shape[: len(axes)])), -1)


def by_input(kernel: np.ndarray, axis: int) -> np.ndarray:
    """Return the kernel as [input channels, weights of one]."""
    return np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)


def scale_outputs(kernel: np.ndarray, layer: keras.layers.Layer, factor: np.ndarray) -> np.ndarray:
    """Return the kernel with each output channel multiplied by its factor."""
    axes = output_axes(layer)
    shape = [kernel.shape[axis] if axis in axes else 1 for axis in range(kernel.ndim)]
    return (kernel * factor.reshape(shape)).astype(np.float32)


def scale_inputs(kernel: np.ndarray, axis: int, factor: np.ndarray) -> np.ndarray:
    """Return the kernel with each input channel multiplied by its factor."""
    shape = [-1 if other == axis else 1 for other in range(kernel.ndim)]
    return (kernel * factor.reshape(shape)).astype(np.float32)
