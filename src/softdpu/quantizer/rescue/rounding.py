"""Learned rounding: each weight is rounded down or up so that the layer's output, not the weight, is nearest."""

from __future__ import annotations

import time

import numpy as np

from softdpu import fixed_point
from softdpu.keras2 import keras, tf
from softdpu.progress import tqdm
from softdpu.quantizer.rescue.network import Network, Weighted, get_position
from softdpu.quantizer.rescue.walk import Follower

L = keras.layers
ROWS = 12288  # input patches that a layer's rounding is learned from
ENOUGH = 1.5  # patches an input: with fewer, rounding learns the calibration images by heart
SWEEPS = 4
SETTLED = 0.01  # share of weights that still move in the last sweep
DEPTHWISE_ROWS = 4096  # enough for the few weights of one channel
BLOCK = 32  # inputs whose moves are gathered into one matrix product
DAMPING = 0.01  # of the mean diagonal: what the sample does not show must not move weights far


class LearnedRounding:
    """Rounds each kernel as the walk comes to the layer, with the inputs that the layer then has.

    The problem is that of AdaRound (Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or Down? Adaptive Rounding for
    Post-Training Quantization, 2020, equations 13 and 25): min over w_q in {floor, ceil} of E[(w_q x_q - w x)^2], x_q
    the quantized network's inputs, x the float network's. It is solved by coordinate descent instead of gradients
    (Behdin et al.: QuantEase, 2023, equation 5): with H = E[x_q x_q^T] and the gradient g = E[x_q (w_q x_q - w x)],
    the best value of one weight is w_q - g / H_jj, rounded within its two neighbours; every move lowers the error.
    Means are taken out, since bias correction follows.

    A quarter of the images is held out, by which the step is judged.

    Args:
        budget: seconds; layers that come after it are rounded to the nearest value.
    """

    def __init__(self, net: Network, budget: float) -> None:
        self._end = time.perf_counter() + budget
        self._float = Follower(net.reference, net.batches[: -net.held_out], set(net.by_name))
        self.learned = 0
        self._bar = tqdm(total=len(net.by_name), desc="learned rounding", unit="layer", leave=False, mininterval=1)

    def __call__(self, item: Weighted, inputs: list[tf.Tensor]) -> None:
        """Round a layer's kernel; the kernel becomes exactly what it is rounded to."""
        targets = self._float.take(item.name)
        inputs = inputs[: len(targets)]
        self._bar.update(1)
        if time.perf_counter() > self._end or not item.per_tensor or not is_learnable(item, _places(targets)):
            return
        layer = item.reference
        if isinstance(layer, L.DepthwiseConv2D):
            kernel = _rounded_depthwise(item, inputs, targets)
        else:
            kernel = _rounded_dense(item, inputs, targets)
        item.set_kernel(kernel)
        self.learned += 1


def is_learnable(item: Weighted, places: int) -> bool:
    """Tell whether the layer is of a kind whose input patches are taken here, and there are enough of them."""
    layer = item.reference
    inputs = item.kernel.size // item.kernel.shape[-1]
    if not isinstance(layer, L.DepthwiseConv2D) and places < ENOUGH * inputs:
        return False
    if isinstance(layer, L.Conv2DTranspose):
        return False
    if isinstance(layer, L.DepthwiseConv2D):
        return layer.depth_multiplier == 1 and layer.data_format == "channels_last"
    return isinstance(layer, L.Dense) or (layer.groups == 1 and layer.data_format == "channels_last")


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


def _places(targets: list[tf.Tensor]) -> int:
    return sum(int(np.prod(target.shape[:-1])) for target in targets)


def _sampled(
    item: Weighted, inputs: list[tf.Tensor], targets: list[tf.Tensor], limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (patches, float results) of the same places, `limit` at most, both without their means."""
    step = max(1, _places(targets) // limit) | 1
    rows, results = [], []
    for x, target in zip(inputs, targets):  # noqa: B905 - strict is not in Python 3.7
        found = patches(item.reference, x)
        rows.append(tf.reshape(found, [-1, found.shape[-1]])[::step])
        results.append(tf.reshape(target, [-1, target.shape[-1]])[::step])
    sample, values = tf.concat(rows, 0).numpy(), tf.concat(results, 0).numpy()
    return sample - sample.mean(axis=0), values - values.mean(axis=0)


def _neighbours(kernel: np.ndarray, position: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rounded, low, high): the nearest number and the two that may be chosen, in units of the step."""
    scaled = np.ldexp(kernel.astype(np.float64), position)
    low = np.clip(np.floor(scaled), fixed_point.QMIN, fixed_point.QMAX)
    high = np.clip(np.ceil(scaled), fixed_point.QMIN, fixed_point.QMAX)
    return np.clip(fixed_point.round_real(scaled, fixed_point.HALF_TO_EVEN), low, high), low, high


def _rounded_dense(item: Weighted, inputs: list[tf.Tensor], targets: list[tf.Tensor]) -> np.ndarray:
    position = get_position(item.kernel_slot.quantizer)
    kernel = item.kernel
    matrix = kernel.reshape(-1, kernel.shape[-1])
    x, y = _sampled(item, inputs, targets, ROWS)
    numbers, low, high = (part.astype(np.float32) for part in _neighbours(matrix, position))
    y = np.ldexp(y, position)
    second = x.T @ x / len(x)
    damp = np.float32(DAMPING * np.mean(np.diag(second)) + 1e-12)
    second += damp * np.eye(len(second), dtype=np.float32)
    original = np.ldexp(matrix, position).astype(np.float32)
    # The damping pulls towards the float weights.
    gradient = second @ numbers - (x.T @ y / len(x) + damp * original)
    descend(second, gradient, numbers, low, high)
    return np.ldexp(numbers, -position).reshape(kernel.shape).astype(np.float32)


def descend(second: np.ndarray, gradient: np.ndarray, numbers: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Lower the error weight by weight, all output channels at once; `numbers` and `gradient` change in place.

    Args:
        second: float32[inputs, inputs], E[x x^T].
        gradient: float32[inputs, outputs], E[x (w_q x - y)].
        numbers, low, high: float32[inputs, outputs], the whole numbers now, and the bounds.
    """
    for _ in range(SWEEPS):
        moved = 0
        for start in range(0, len(numbers), BLOCK):
            block = slice(start, start + BLOCK)
            # Inside the block every move updates the block's gradient; all others follow in one matrix product.
            near, local, before = second[block, block], gradient[block].copy(), numbers[block].copy()
            for j in range(len(local)):
                row = numbers[start + j]
                best = np.clip(np.rint(row - local[j] / near[j, j]), low[start + j], high[start + j])
                change = best - row
                if change.any():
                    local += np.outer(near[:, j], change)
                    numbers[start + j] = best
            change = numbers[block] - before
            gradient += second[:, block] @ change
            moved += int(np.count_nonzero(change))
        if moved < SETTLED * numbers.size:
            return


def _rounded_depthwise(item: Weighted, inputs: list[tf.Tensor], targets: list[tf.Tensor]) -> np.ndarray:
    """Round a depthwise kernel: every channel is a problem of its own, all are solved side by side."""
    position = get_position(item.kernel_slot.quantizer)
    kernel = item.kernel
    channels = kernel.shape[2]
    x, y = _sampled(item, inputs, targets, DEPTHWISE_ROWS)
    x = x.reshape(len(x), -1, channels)
    matrix = kernel.reshape(-1, channels)
    numbers, low, high = (part.astype(np.float32) for part in _neighbours(matrix, position))
    second = np.einsum("nic,njc->ijc", x, x, optimize=True) / len(x)
    cells = np.arange(len(second))
    damp = DAMPING * second[cells, cells].mean(axis=0) + 1e-12
    second[cells, cells] += damp
    target = np.einsum("nic,nc->ic", x, np.ldexp(y, position), optimize=True) / len(x)
    gradient = np.einsum("ijc,jc->ic", second, numbers) - (target + damp * np.ldexp(matrix, position))
    for _ in range(SWEEPS):
        for j in cells:
            best = np.clip(np.rint(numbers[j] - gradient[j] / second[j, j]), low[j], high[j])
            gradient += second[:, j] * (best - numbers[j])
            numbers[j] = best
    return np.ldexp(numbers, -position).reshape(kernel.shape).astype(np.float32)
