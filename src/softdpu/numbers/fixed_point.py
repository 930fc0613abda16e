"""The DPU's number format: signed int8 with one power-of-two scale a tensor.

A tensor has one integer *position* p; its values are `q / 2**p` with q in -128..127. This module alone rounds,
saturates and shifts; everything else (reference runtime, fast runtime, fake-quant layers) is tested against it.

Weights and biases round half to even, activations round half up, `floor(x + 0.5)`. Rounding comes before saturation.

>>> quantize(np.array([0.3, -0.5, 2.0]), position=6, mode=HALF_UP)
array([ 19, -32, 127], dtype=int8)
>>> shift_right(np.array([5, -5, 6, -6]), 2)  # 1.25, -1.25, 1.5, -1.5
array([ 1, -1,  2, -1])
"""

from __future__ import annotations

import math

import numpy as np

QMIN, QMAX = -128, 127

HALF_TO_EVEN = 0  # weights and biases ("PY3_ROUND")
HALF_UP = 1  # activations ("DPU_ROUND")
HALF_AWAY_FROM_ZERO = 2  # "STD_ROUND"
FLOOR = 3

SHIFT_CUT_RANGE = (0, 16)
HARD_SIGMOID_SCALE = 2731  # round(2**14 / 6): hard-sigmoid(x) = relu6(x + 3) * 2731 / 2**14
HARD_SIGMOID_SHIFT = 14
LEAKY_RELU_ALPHA = 26 / 256  # the DPU's only LeakyReLU slope, which stands for 0.1


def round_real(x: np.ndarray, mode: int) -> np.ndarray:
    """Round to whole numbers, in the dtype of `x`.

    Args:
        x: float[...], already multiplied by 2**position.
        mode: HALF_TO_EVEN, HALF_UP, HALF_AWAY_FROM_ZERO or FLOOR.

    Raises:
        ValueError: for another mode.
    """
    half = x.dtype.type(0.5)
    if mode == HALF_TO_EVEN:
        return np.rint(x)
    if mode == HALF_UP:
        return np.floor(x + half)
    if mode == HALF_AWAY_FROM_ZERO:
        # |x| + 0.5 would lift 0.49999997 to 1, so ties are told apart by an exact subtraction, as C's round does.
        magnitude = np.abs(x)
        floored = np.floor(magnitude)
        return np.copysign(floored + (magnitude - floored >= half), x).astype(x.dtype)
    if mode == FLOOR:
        return np.floor(x)
    raise ValueError(f"round mode must be 0, 1, 2 or 3, got {mode}")


def integer_range(bit_width: int = 8, unsigned: bool = False, narrow_range: bool = False) -> tuple[int, int]:
    """Return the smallest and the largest integer of a format: (-128, 127) for signed 8 bit."""
    if unsigned:
        return 0, 2**bit_width - 1
    return -(2 ** (bit_width - 1)) + int(narrow_range), 2 ** (bit_width - 1) - 1


def saturate(x: np.ndarray) -> np.ndarray:
    """Clip whole numbers to -128..127 and return them as int8."""
    return np.clip(x, QMIN, QMAX).astype(np.int8)


def quantize(x: np.ndarray, position: int, mode: int) -> np.ndarray:
    """Return the int8 numbers of real values: `saturate(round(x * 2**position))`.

    Args:
        x: float[...]; float32 is computed in float32, as the fake-quant layers do.
        position: of the tensor; real = q * 2**-position.
        mode: HALF_TO_EVEN for weights and biases, HALF_UP for activations.
    """
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.floating):
        x = x.astype(np.float64)
    return saturate(round_real(np.ldexp(x, int(position)), mode))


def dequantize(q: np.ndarray, position: int) -> np.ndarray:
    """Return the real values, float32[...], of int8 numbers: `q * 2**-position`."""
    return np.ldexp(np.asarray(q, np.float32), -int(position))


def fake_quantize(x: np.ndarray, position: int, mode: int, low: int = QMIN, high: int = QMAX) -> np.ndarray:
    """Return `x` rounded to the grid of step 2**-position and saturated, in the dtype of `x`."""
    return np.ldexp(np.clip(round_real(np.ldexp(x, int(position)), mode), low, high), -int(position))


def shift_right(x: np.ndarray, shift: int) -> np.ndarray:
    """Divide integers by 2**shift and round half up; a negative shift multiplies, exactly.

    The DPU's own form, `(x + (1 << (shift - 1))) >> shift` with an arithmetic shift.

    Args:
        x: int[...], int64 unless the caller knows that nothing overflows.
        shift: in bits.
    """
    if shift <= 0:
        return x << -shift
    return (x + (1 << (shift - 1))) >> shift


def shift_cut(input_position: int, weight_position: int, output_position: int) -> int:
    """Return by how many bits an accumulator is shifted right to the output: fi + fw - fo."""
    return input_position + weight_position - output_position


def shift_bias(input_position: int, weight_position: int, bias_position: int) -> int:
    """Return by how many bits a bias is shifted left to the accumulator: fi + fw - fb."""
    return input_position + weight_position - bias_position


def shift_bias_minimum(cut: int) -> int:
    """Return the smallest shift_bias that the DPU has for a shift_cut: min(0, -(24 - (8 + cut)))."""
    return min(0, -(24 - (8 + cut)))


_POOL_FACTORS = {(3, 3): (7, 6), (5, 5): (10, 8), (6, 6): (7, 8), (7, 7): (21, 10), (14, 14): (21, 12)}


def average_pool_factor(height: int, width: int) -> tuple[int, int]:
    """Return (n, m) so that the DPU's average over a window is `sum * n / 2**m`.

    A fixed table for common windows; otherwise the first m that brings n / 2**m nearest to 1 / (height * width),
    with n = round_half_even(2**m / (height * width)) and m <= 6 + ceil(log2(height * width)).
    Source: AMD's average-pooling rules as measured (quantizer and cpu_task agree).
    """
    if height > 255 or width > 255:
        raise ValueError(f"average pooling windows end at 255x255 on the DPU, got {height}x{width}")
    if (height, width) in _POOL_FACTORS:
        return _POOL_FACTORS[height, width]
    count = height * width
    best = (1, 0)
    for m in range(7 + math.ceil(math.log2(count))):
        n = int(np.rint(2**m / count))
        if abs(n / 2**m - 1 / count) < abs(best[0] / 2 ** best[1] - 1 / count):
            best = (n, m)
    return best


def rescale_factor(height: int, width: int, is_global: bool) -> float:
    """Return what the quantizer's layer multiplies a true mean by, so that it equals the DPU's sum * n / 2**m.

    A global window that is no square counts as the square of their common multiple, where its side is at most 8. The
    factor is 1.0 for windows beyond the DPU's 255.
    """
    side = height * width // math.gcd(height, width)
    if is_global and height != width and side <= 8:
        height = width = side
    if height > 255 or width > 255:
        return 1.0
    n, m = average_pool_factor(height, width)
    return height * width * n / 2**m
