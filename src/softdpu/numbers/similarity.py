"""How near numbers are to those that they should be: signal-to-noise ratio and cosine, summed over many arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MOST_DECIBELS = 99.0  # stands for no noise at all


class Similarity:
    """Sums over pairs of arrays, in float64."""

    def __init__(self) -> None:
        self._signal = self._power = self._noise = self._product = 0.0

    def add(self, wanted: Any, found: Any) -> None:
        """Count two arrays of real numbers of the same shape in."""
        x, y = np.asarray(wanted, np.float64).ravel(), np.asarray(found, np.float64).ravel()
        difference = y - x
        self._signal += float(x @ x)
        self._power += float(y @ y)
        self._noise += float(difference @ difference)
        self._product += float(x @ y)

    @property
    def sqnr(self) -> float:
        """The ratio of the power of what was wanted to that of the difference, in dB, within -99..99."""
        if self._noise == 0:
            return MOST_DECIBELS
        ratio = 10 * math.log10(max(self._signal, 1e-30) / self._noise)
        return min(max(ratio, -MOST_DECIBELS), MOST_DECIBELS)

    @property
    def cosine(self) -> float:
        """The cosine of the angle between both, -1..1; 1 where both are zero."""
        scale = math.sqrt(self._signal * self._power)
        if scale == 0:
            return 1.0 if self._signal == self._power else 0.0
        return self._product / scale

    def as_dict(self) -> dict[str, float]:
        """Return {"sqnr", "cosine"}."""
        return {"sqnr": self.sqnr, "cosine": self.cosine}
