"""Learned rounding: weights are rounded up or down so that the layer's output, not the weight, is nearest."""

from __future__ import annotations

import time

import numpy as np

from softdpu.keras2.api import tf
from softdpu.numbers import fixed_point
from softdpu.rescue.compensation import ErrorCompensation, round_compensated
from softdpu.rescue.network import Network, Weighted

SWEEPS = 8
SETTLED = 0.002  # share of weights that still move in the last sweep
BLOCK = 32  # inputs whose moves are gathered into one matrix product


class LearnedRounding(ErrorCompensation):
    """Error compensation on more patches and with more passes, and with rounding that is improved until it settles.

    The problem is that of AdaRound (Nagel, Amjad, van Baalen, Louizos, Blankevoort: Up or Down? Adaptive Rounding for
    Post-Training Quantization, 2020, equation 20): min over w_q of E[(w_q x - w x)^2], x the quantized network's
    inputs. It is solved by coordinate descent instead of gradients (Behdin et al.: QuantEase, 2023, equation 5), from
    the solution of error compensation. The number of sweeps is fixed, so that the result does not depend on the
    machine's speed.

    Args:
        budget: seconds; layers that come after it, should it ever be needed, stay as they are.

    Attributes:
        late: the names of those layers.
    """

    ridges = (0.1, 0.3, 1.0)
    fits = 4
    rows = 16384

    def __init__(self, net: Network, budget: float) -> None:
        super().__init__(net)
        self._end = time.perf_counter() + budget
        self.late: list[str] = []

    def __call__(self, item: Weighted, inputs: list[tf.Tensor]) -> None:
        """Fit a layer, if there is time."""
        if time.perf_counter() < self._end:
            super().__call__(item, inputs)
        else:
            self.late.append(item.name)

    def round_numbers(self, weights: np.ndarray, square: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
        """Return whole numbers, see `descend`."""
        numbers = round_compensated(weights, square, limits)
        second = square.astype(np.float32)
        descend(second, second @ (numbers - weights), numbers, limits)
        return numbers


def descend(second: np.ndarray, gradient: np.ndarray, numbers: np.ndarray, limits: tuple[int, int]) -> None:
    """Lower the error weight by weight, all output channels at once; `numbers` and `gradient` change in place.

    With H = E[x x^T] and the gradient g = E[x (w_q x - w x)], the best value of one weight is w_q - g / H_jj, rounded;
    every move lowers the error.

    Args:
        second: float32[groups, inputs, inputs], H.
        gradient: float32[groups, inputs, outputs], g.
        numbers: float32[groups, inputs, outputs], the whole numbers.
        limits: the smallest and the largest number.
    """
    for _ in range(SWEEPS):
        moved = 0
        for start in range(0, numbers.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            # Inside the block every move updates the block's gradient; all others follow in one matrix product.
            near, local, before = second[:, block, block], gradient[:, block].copy(), numbers[:, block].copy()
            for j in range(local.shape[1]):
                row = numbers[:, start + j]
                wanted = row - local[:, j] / near[:, j, j, None]
                best = fixed_point.fake_quantize(wanted, 0, fixed_point.HALF_TO_EVEN, *limits)
                change = best - row
                if change.any():
                    local += near[:, :, j, None] * change[:, None]
                    numbers[:, start + j] = best
            change = numbers[:, block] - before
            gradient += second[:, :, block] @ change
            moved += int(np.count_nonzero(change))
        if moved < SETTLED * numbers.size:
            return
