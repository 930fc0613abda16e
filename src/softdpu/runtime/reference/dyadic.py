"""Exact numbers `numerator / 2**shift`, in which the reference engine computes until it rounds once, at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softdpu.numbers import fixed_point

_SAFE_BITS = 62  # int64 holds this many and a sign


@dataclass(frozen=True)
class Dyadic:
    """An array of real numbers `numerator / 2**shift`.

    The numerator is int64, or Python's unbounded ints (dtype object) where int64 would overflow.
    """

    numerator: np.ndarray
    shift: int

    def __add__(self, other: Dyadic) -> Dyadic:
        shift = max(self.shift, other.shift)
        return Dyadic(self._at(shift) + other._at(shift), shift)

    def __mul__(self, other: Dyadic) -> Dyadic:
        left, right = self.numerator, other.numerator
        if _bits(left) + _bits(right) > _SAFE_BITS:
            left = left.astype(object)
        return Dyadic(left * right, self.shift + other.shift)

    def maximum(self, bound: int) -> Dyadic:
        """Return max(self, bound)."""
        shift = max(self.shift, 0)
        return Dyadic(np.maximum(self._at(shift), bound << shift), shift)

    def minimum(self, bound: int) -> Dyadic:
        """Return min(self, bound)."""
        shift = max(self.shift, 0)
        return Dyadic(np.minimum(self._at(shift), bound << shift), shift)

    def where_negative(self, factor: Dyadic) -> Dyadic:
        """Return self * factor where self is negative, else self."""
        scaled = self * factor
        shift = max(self.shift, scaled.shift)
        return Dyadic(np.where(self.numerator < 0, scaled._at(shift), self._at(shift)), shift)

    def to_int8(self, position: int) -> np.ndarray:
        """Round half up to the position and saturate: int8[...]."""
        cut = self.shift - position
        numerator = self.numerator
        if _bits(numerator) + abs(cut) > _SAFE_BITS:
            numerator = numerator.astype(object)
        return fixed_point.saturate(fixed_point.shift_right(numerator, cut))

    def _at(self, shift: int) -> np.ndarray:
        """Return the numerator for a larger shift."""
        step = shift - self.shift
        if step == 0:
            return self.numerator
        wide = _bits(self.numerator) + step > _SAFE_BITS or shift > _SAFE_BITS
        numerator = self.numerator.astype(object) if wide else self.numerator
        return numerator * (1 << step)


def from_int8(q: np.ndarray, position: int) -> Dyadic:
    """Return the real numbers of an int8 tensor with a position."""
    return Dyadic(q.astype(np.int64), position)


def constant(numerator: int, shift: int = 0) -> Dyadic:
    """Return one real number."""
    return Dyadic(np.asarray(numerator, np.int64), shift)


def _bits(x: np.ndarray) -> int:
    return max(int(abs(x.max())).bit_length(), int(abs(x.min())).bit_length()) if x.size else 0
