"""What a layer's weights are fitted to: input patches of the quantized network, results of the float network.

Dense, convolutions, grouped and depthwise ones look the same here: `groups` problems side by side, each with `inputs`
weights for each of its `outputs`. Dense and an ordinary convolution are one group, a depthwise one has a group for each
channel.
"""

from __future__ import annotations

import numpy as np

from softdpu.keras2.api import keras, tf
from softdpu.rescue.network import Weighted

L = keras.layers
FLOOR = 1e-6  # of the mean square: keeps constant inputs from being divided by nothing


def is_fittable(layer: keras.layers.Layer) -> bool:
    """Tell whether the layer is of a kind whose input patches are taken here."""
    if isinstance(layer, L.Dense):
        return True
    return not isinstance(layer, L.Conv2DTranspose) and layer.data_format == "channels_last"


def patches(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    """Return what each output value of a layer is computed from, [n, rows, columns, kernel height * width * channels].

    For a 1x1 convolution and for Dense these are the inputs themselves.
    """
    if isinstance(layer, L.Dense):
        return x
    (height, width), (down, right) = layer.kernel_size, layer.strides
    if (height, width) == (1, 1):
        return x[:, ::down, ::right]
    rates = [1, *layer.dilation_rate, 1]
    return tf.image.extract_patches(x, [1, height, width, 1], [1, down, right, 1], rates, layer.padding.upper())


def places(targets: list[tf.Tensor]) -> int:
    """Return how many results there are of each channel."""
    return sum(int(np.prod(target.shape[:-1])) for target in targets)


def sample(
    item: Weighted, inputs: list[tf.Tensor], targets: list[tf.Tensor], limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches and the float results of the same places, `limit` or a few more.

    Returns:
        float32[groups, n, inputs] and float32[groups, n, outputs].
    """
    layer = item.reference
    # Odd, so that every column of an image is met although its width is often a power of two.
    step = max(1, places(targets) // limit) | 1
    rows, results = [], []
    for x, target in zip(inputs, targets):  # noqa: B905 - strict is not in Python 3.7
        found = patches(layer, x)
        rows.append(tf.reshape(found, [-1, found.shape[-1]])[::step])
        results.append(tf.reshape(target, [-1, target.shape[-1]])[::step])
    groups = _groups(layer, item.kernel.shape)
    return _patches_by_group(tf.concat(rows, 0).numpy(), layer, groups), _split_by_group(
        tf.concat(results, 0).numpy(), groups
    )


def _groups(layer: keras.layers.Layer, shape: tuple[int, ...]) -> int:
    if isinstance(layer, L.DepthwiseConv2D):
        return shape[2]
    return 1 if isinstance(layer, L.Dense) else layer.groups


def _patches_by_group(x: np.ndarray, layer: keras.layers.Layer, groups: int) -> np.ndarray:
    """[n, cells * channels] -> [groups, n, cells * channels of a group]."""
    cells = 1 if isinstance(layer, L.Dense) else int(np.prod(layer.kernel_size))
    split = x.reshape(len(x), cells, groups, -1)
    return np.ascontiguousarray(split.transpose(2, 0, 1, 3)).reshape(groups, len(x), -1)


def _split_by_group(x: np.ndarray, groups: int) -> np.ndarray:
    """[n, groups * outputs] -> [groups, n, outputs]."""
    return np.ascontiguousarray(x.reshape(len(x), groups, -1).transpose(1, 0, 2))


def to_matrices(kernel: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    """Return a kernel as [groups, inputs, outputs]."""
    groups = _groups(layer, kernel.shape)
    if isinstance(layer, L.DepthwiseConv2D):
        return kernel.reshape(-1, groups, kernel.shape[3]).transpose(1, 0, 2)
    return kernel.reshape(-1, groups, kernel.shape[-1] // groups).transpose(1, 0, 2)


def to_kernel(matrices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the kernel of such matrices, the inverse of `to_matrices`."""
    return np.ascontiguousarray(matrices.transpose(1, 0, 2)).reshape(shape).astype(np.float32)


class Moments:
    """Mean and second moments of a layer's inputs.

    Attributes:
        mean: float64[groups, 1, inputs].
        covariance, square: float64[groups, inputs, inputs], E[x x^T] about the mean and about zero.
        scale: the mean variance of an input, float64[groups, 1, 1], never zero.
        inputs_by_rows: inputs for each row that they were taken from.
    """

    def __init__(self, x: np.ndarray) -> None:
        mean = x.mean(axis=1, keepdims=True)
        centred = x - mean
        self.inputs_by_rows = x.shape[2] / x.shape[1]
        self.covariance = (centred.transpose(0, 2, 1) @ centred / x.shape[1]).astype(np.float64)
        self.mean = mean.astype(np.float64)
        self.square = self.covariance + self.mean.transpose(0, 2, 1) * self.mean
        self.scale = _mean_diagonal(self.covariance) + FLOOR * _mean_diagonal(self.square) + 1e-30


def _mean_diagonal(matrices: np.ndarray) -> np.ndarray:
    return np.trace(matrices, axis1=1, axis2=2)[:, None, None] / matrices.shape[1]
