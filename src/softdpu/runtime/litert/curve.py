"""Functions of one number in a few float32 operations, which can be tried on all 256 inputs before they are used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softdpu.numbers.fixed_point import HARD_SIGMOID_SCALE, QMAX, QMIN
from softdpu.runtime.litert.lowering import Lowering
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.rounding import NONE, RELU, binary, unary

NUMBERS = np.arange(QMIN, QMAX + 1, dtype=np.int8)


@dataclass(frozen=True)
class Curve:
    """floor(relu(bend(x) * scale + offset)), at most `limit`, in output steps; x is a real number.

    Attributes:
        scale, offset: as above; the offset holds the 1/2 of rounding.
        slope: of the bend: x * slope where x is negative; None for no bend.
        positive: whether there is a relu.
        limit: in output steps.
    """

    scale: float
    offset: float
    slope: float | None = None
    positive: bool = False
    limit: int | None = None

    def of(self, q: np.ndarray, position: int) -> np.ndarray:
        """Return the curve of int8 numbers as LiteRT's float32 operations compute it: int8."""
        x = np.ldexp(q.astype(np.float32), -position)
        if self.slope is not None:
            x = np.where(x < 0, x * np.float32(self.slope), x)
        y = x * np.float32(self.scale) + np.float32(self.offset)
        if self.positive:
            y = np.maximum(y, np.float32(0))
        return np.clip(np.floor(y), QMIN, QMAX if self.limit is None else self.limit).astype(np.int8)


def hard_sigmoid_curve(position: int, entry: int, cut: int) -> Curve:
    """Return (q * 2731 + 3 * 2731 * 2**entry) / 2**cut of a number at a position, floored after 1/2 is added."""
    unit = HARD_SIGMOID_SCALE * 2.0**-cut
    return Curve(unit * 2.0**position, 3 * unit * 2.0**entry + 0.5, positive=True)


def emit_curve(model: Lowering, x: int, curve: Curve, shape: tuple[int, ...]) -> int:
    """Add a curve of a float32 tensor of real numbers, and return its whole numbers as a float32 tensor."""
    rank = len(shape)
    if curve.slope is not None:
        x = unary(model, Operator.LEAKY_RELU, x, shape, option("LeakyRelu", alpha=curve.slope))
    y = binary(model, Operator.MUL, x, model.numbers(curve.scale, rank=rank), shape)
    activation = RELU if curve.positive else NONE
    y = binary(model, Operator.ADD, y, model.numbers(curve.offset, rank=rank), shape, activation)
    y = unary(model, Operator.FLOOR, y, shape)
    if curve.limit is not None and curve.limit <= QMAX:
        y = binary(model, Operator.MINIMUM, y, model.numbers(float(curve.limit), rank=rank), shape)
    return y
