"""A slow quantizer in plain Python and numpy, written from the rules alone; it shares no code with the package.

Positions come from exact fractions, layers are computed in integers, so that agreement means something.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

HALF_TO_EVEN, HALF_UP, HALF_AWAY, FLOOR = range(4)


def round_fraction(x: Fraction, mode: int) -> int:
    floor = x.numerator // x.denominator
    rest = x - floor
    half = Fraction(1, 2)
    if mode == FLOOR:
        return floor
    if rest != half:
        return floor + (rest > half)
    if mode == HALF_UP:
        return floor + 1
    if mode == HALF_TO_EVEN:
        return floor + floor % 2
    return floor + (x > 0)


def quantize_value(x: float, position: int, mode: int, low: int = -128, high: int = 127) -> int:
    return max(low, min(high, round_fraction(Fraction(x) * Fraction(2) ** position, mode)))


def position_without_overflow(values: np.ndarray) -> int:
    """The largest p with max * 2**p <= 127 and min * 2**p >= -128."""
    high, low = Fraction(float(values.max())), Fraction(float(values.min()))
    position = 120
    while high * Fraction(2) ** position > 127 or low * Fraction(2) ** position < -128:
        position -= 1
    return position


def integers(values: np.ndarray, position: int, mode: int) -> np.ndarray:
    scaled = values.astype(np.float64) * 2.0**position
    if mode == HALF_TO_EVEN:
        rounded = np.rint(scaled)
    else:
        # float32 adds the half, so that the number just below 0.5 becomes 1.
        rounded = np.floor((scaled.astype(np.float32) + np.float32(0.5)).astype(np.float64))
    return np.clip(rounded, -128, 127).astype(np.int64)


def least_error_position(values: np.ndarray, mode: int) -> int:
    first = position_without_overflow(values)
    errors = []
    for position in range(first, first + 5):
        difference = values.astype(np.float64) - integers(values, position, mode) / 2.0**position
        errors.append(float((difference**2).sum()))
    return first + int(np.argmin(errors))


def vote(positions: list[int]) -> int:
    return max(positions, key=positions.count)


def shift_round(accumulator: np.ndarray, shift: int) -> np.ndarray:
    """accumulator / 2**shift, half up, in integers."""
    if shift <= 0:
        return accumulator * 2**-shift
    return (accumulator + 2 ** (shift - 1)) >> shift


def saturate(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -128, 127)


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int, same: bool) -> np.ndarray:
    """int64 NHWC with HWIO; pads as TensorFlow does."""
    kh, kw, _, filters = kernel.shape
    if same:
        pads = []
        for size, k in ((x.shape[1], kh), (x.shape[2], kw)):
            total = max((-(-size // stride) - 1) * stride + k - size, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, ((0, 0), *pads, (0, 0)))
    rows, columns = (x.shape[1] - kh) // stride + 1, (x.shape[2] - kw) // stride + 1
    out = np.zeros((x.shape[0], rows, columns, filters), np.int64)
    for i in range(kh):
        for j in range(kw):
            part = x[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
            out += np.tensordot(part, kernel[i, j], axes=1)
    return out
