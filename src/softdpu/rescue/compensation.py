"""Error compensation: weights that make up for the errors of the layers before, of the bias and of each other."""

from __future__ import annotations

import numpy as np

from softdpu.keras2.api import tf
from softdpu.numbers import fixed_point
from softdpu.rescue import network
from softdpu.rescue.network import Network, Weighted, get_position
from softdpu.rescue.samples import Moments, is_fittable, sample, to_kernel, to_matrices
from softdpu.rescue.walk import Follower

RIDGE_BY_INPUTS = 2.0  # more of the ridge for each weight that a patch must fit
DAMPING = 0.01  # of the mean variance, while rounding
SMALL = 64  # weights of one output
BLOCK = 64  # inputs whose errors are gathered into one matrix product


class ErrorCompensation:
    """Fits and rounds each kernel and bias as the walk comes to the layer, see `fitted`, `rounded` and `round_numbers`.

    A quarter of the images is held out. A layer keeps what it had if the fit does not lower its error on them, and by
    them the whole step is judged.
    """

    ridges: tuple[float, ...] = (0.1, 1.0)  # of the mean variance of an input; the images held out choose
    fits = 2  # passes of the fit; each takes on what the activation's clip has left
    rows = 8192  # input patches at most, half as many where a patch is small

    def __init__(self, net: Network) -> None:
        self._fitted = max(1, len(net.batches) - net.held_out)
        self._float = Follower(net.reference, net.batches, set(net.by_name))
        self.layers = 0

    def __call__(self, item: Weighted, inputs: list[tf.Tensor]) -> None:
        """Fit a layer; its kernel becomes exactly what it is rounded to, and its bias is not corrected any more."""
        targets = self._float.take(item.name)
        item.fitted = False
        if not item.per_tensor or not item.per_tensor_bias or not is_fittable(item.reference):
            return
        small = item.kernel.size <= SMALL * targets[0].shape[-1]
        rows = self.rows // 2 if small else self.rows
        x, y = sample(item, inputs[: self._fitted], targets[: self._fitted], rows)
        unseen = x, y
        if self._fitted < len(inputs):
            unseen = sample(item, inputs[self._fitted :], targets[self._fitted :], rows // 2)
        moments = Moments(x)
        fits = [fit_layer(item, x, y, moments, ridge, self.fits) for ridge in self.ridges]
        best = min(fits, key=lambda fit: measure_clipped_error(item, *unseen, *fit))
        kernel, bias, position = self._round(item, moments, *best)
        found = to_matrices(kernel, item.reference), bias.reshape(best[1].shape)
        if measure_clipped_error(item, *unseen, *found) < measure_clipped_error(
            item, *unseen, *correct_layer(item, x, y)
        ):
            item.fit(kernel, bias, position)
            self.layers += 1

    def _round(self, item: Weighted, moments: Moments, weights: np.ndarray, bias: np.ndarray) -> tuple:
        """Return (kernel, bias, position of the bias) on their grids; what is rounded later takes the errors so far.

        The bias comes first. It is the weight of an input that is always one, so that the others take its error by
        dW = err E[x x^T]^-1 E[x] (Hassibi and Stork, Optimal Brain Surgeon, 1993, equation 5).
        """
        assert item.bias_slot is not None
        quantizer = item.kernel_slot.quantizer
        square = moments.square + DAMPING * moments.scale * np.eye(weights.shape[1])
        take = np.linalg.solve(square, moments.mean.transpose(0, 2, 1))
        remaining = np.sqrt(np.maximum(1 - moments.mean @ take, 1e-6))  # the share of the bias' error that stays
        share = np.broadcast_to(remaining, bias.shape).ravel().astype(np.float32)
        bias_position = item.find_bias_position(bias.ravel(), share)
        on_grid = fixed_point.fake_quantize(bias, bias_position, item.bias_slot.quantizer.round_mode)
        position = get_position(quantizer)
        aim = np.ldexp(weights + take * (bias - on_grid), position)
        numbers = self.round_numbers(aim.astype(np.float32), square, quantizer.form.limits)
        kernel = to_kernel(np.ldexp(numbers, -position), item.kernel.shape)
        return kernel, on_grid.ravel().astype(np.float32), bias_position

    def round_numbers(self, weights: np.ndarray, square: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
        """Return whole numbers, see `round_compensated`."""
        return round_compensated(weights, square, limits)


def fit_layer(
    item: Weighted, x: np.ndarray, y: np.ndarray, moments: Moments, ridge: float, fits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return float weights and bias that give the float results `y` from the quantized network's inputs.

    They move to min E[(c(W' x + b') - c(y))^2] + ridge |W' - W|^2, c the activation's clip. Without a clip this is
    least squares (Hoerl and Kennard, Ridge Regression, 1970, equation 2.1): W' = W + (C + ridge I)^-1 E[x (y - W x)^T],
    C = E[x x^T], x and y about their means. With a clip the same step is taken again on what remains behind it.

    Args:
        x: float32[groups, n, inputs], the quantized network's patches.
        y: float32[groups, n, outputs], the float results, before the activation.
        ridge: as a share of the mean variance of an input: what the patches do not show must not move weights far.
        fits: passes, if there is a clip.

    Returns:
        float32[groups, inputs, outputs] and float32[groups, 1, outputs].
    """
    low, high = network.clip_range(item.reference)
    pull = ridge * (1 + RIDGE_BY_INPUTS * moments.inputs_by_rows) * moments.scale
    inverse = np.linalg.inv(moments.covariance + pull * np.eye(x.shape[2])).astype(np.float32)
    pull, mean = pull.astype(np.float32), moments.mean.astype(np.float32)
    start = to_matrices(item.float_kernel, item.reference)
    weights = start.copy()
    bias = y.mean(axis=1, keepdims=True) - mean @ weights
    target = np.clip(y, low, high)
    for _ in range(fits if np.isfinite(low) or np.isfinite(high) else 1):
        result = x @ weights + bias
        error = target - np.clip(result, low, high, out=result)
        shift = error.mean(axis=1, keepdims=True)
        error -= shift
        move = inverse @ (x.transpose(0, 2, 1) @ error / x.shape[1] - pull * (weights - start))
        weights += move
        bias += shift - mean @ move
    return weights, bias


def round_compensated(weights: np.ndarray, square: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """Round weights to whole numbers within `limits`, one input after the other; those not yet rounded take the error.

    With U the upper Cholesky factor of the inverse of `square`: dW_j = (w_i - q_i) / U_ii * U_ij for j > i. Inputs
    with the largest square come first. Inputs are taken in blocks; what follows a block is updated at once.

    Args:
        weights: [groups, inputs, outputs], in units of the step.
        square: float64[groups, inputs, inputs], E[x x^T], positive definite.
    """
    order = np.argsort(-np.diagonal(square, axis1=1, axis2=2), axis=1, kind="stable")
    sorted_square = np.take_along_axis(np.take_along_axis(square, order[:, :, None], 1), order[:, None, :], 2)
    inverse = np.linalg.inv(sorted_square)
    upper = np.linalg.cholesky((inverse + inverse.transpose(0, 2, 1)) / 2).transpose(0, 2, 1).astype(np.float32)
    rest = np.take_along_axis(weights, order[:, :, None], 1).astype(np.float32)
    numbers = np.empty_like(rest)
    inputs = rest.shape[1]
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        block, errors = rest[:, start:end], np.empty_like(rest[:, start:end])
        for i in range(end - start):
            at = start + i
            numbers[:, at] = fixed_point.fake_quantize(block[:, i], 0, fixed_point.HALF_TO_EVEN, *limits)
            errors[:, i] = (block[:, i] - numbers[:, at]) / upper[:, at, at, None]
            block[:, i + 1 :] -= upper[:, at, at + 1 : end, None] * errors[:, i, None]
        rest[:, end:] -= upper[:, start:end, end:].transpose(0, 2, 1) @ errors
    found = np.empty_like(numbers)
    np.put_along_axis(found, order[:, :, None], numbers, 1)
    return found


def correct_layer(item: Weighted, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel's matrices as they are rounded now, and the bias on its grid that gives `y` its mean."""
    assert item.bias_slot is not None
    matrices = to_matrices(item.quantize_kernel().numpy(), item.reference)
    bias = (y - x @ matrices).mean(axis=1, keepdims=True)
    position = item.find_bias_position(bias.ravel())
    return matrices, fixed_point.fake_quantize(bias, position, item.bias_slot.quantizer.round_mode)


def measure_clipped_error(
    item: Weighted, x: np.ndarray, y: np.ndarray, matrices: np.ndarray, bias: np.ndarray
) -> float:
    """Return the squared error of a layer's result behind the activation's clip."""
    low, high = network.clip_range(item.reference)
    result = x @ matrices
    result += bias
    error = np.clip(result, low, high, out=result) - np.clip(y, low, high)
    return float(np.sum(error**2, dtype=np.float64))
