"""The number format against exact rational arithmetic."""

from __future__ import annotations

import doctest
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softdpu.numbers import fixed_point as fp

MODES = [fp.HALF_TO_EVEN, fp.HALF_UP, fp.HALF_AWAY_FROM_ZERO, fp.FLOOR]


def exact_round(x: Fraction, mode: int) -> int:
    """Round a rational number; the definition, without floating point."""
    if mode == fp.FLOOR:
        return math.floor(x)
    if mode == fp.HALF_UP:
        return math.floor(x + Fraction(1, 2))
    if mode == fp.HALF_TO_EVEN:
        return round(x)
    return int(math.copysign(math.floor(abs(x) + Fraction(1, 2)), x))


def exact_quantize(x: float, position: int, mode: int) -> int:
    return min(127, max(-128, exact_round(Fraction(x) * Fraction(2) ** position, mode)))


# Values on a grid finer than any tested step: ties are frequent, and no float32 sum in half-up rounds.
values = st.integers(-(2**16), 2**16).map(lambda n: n / 2**8)


@given(values, st.integers(-20, 20), st.sampled_from(MODES))
def test_quantize_is_the_definition(x: float, position: int, mode: int) -> None:
    x = x / 2.0**position  # so that every position sees ties and saturation
    expected = exact_quantize(x, position, mode)
    assert fp.quantize(np.array([x], np.float64), position, mode)[0] == expected
    assert fp.quantize(np.array([x], np.float32), position, mode)[0] == expected
    assert fp.fake_quantize(np.array([x], np.float32), position, mode)[0] == expected / 2.0**position


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (fp.HALF_TO_EVEN, [-2, -2, 0, 0, 2, 2, 126, 127, -128, -128]),
        (fp.HALF_UP, [-2, -1, 0, 1, 2, 3, 127, 127, -127, -128]),
        (fp.HALF_AWAY_FROM_ZERO, [-3, -2, -1, 1, 2, 3, 127, 127, -128, -128]),
        (fp.FLOOR, [-3, -2, -1, 0, 1, 2, 126, 127, -128, -128]),
    ],
)
def test_rounding_modes_on_ties(mode: int, expected: list[int]) -> None:
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5, 127.5, -127.5, -128.5])
    assert fp.quantize(x, 0, mode).tolist() == expected


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="round mode must be"):
        fp.round_real(np.zeros(1), 7)


@given(st.integers(-(2**40), 2**40), st.integers(-16, 24))
def test_shift_right_is_rounded_division(x: int, shift: int) -> None:
    expected = exact_round(Fraction(x) / Fraction(2) ** shift, fp.HALF_UP)
    assert fp.shift_right(np.array([x], np.int64), shift)[0] == expected


def test_quantize_and_back_is_the_identity_on_the_grid() -> None:
    q = np.arange(-128, 128).astype(np.int8)
    for position in range(-20, 21):
        for mode in MODES:
            assert np.array_equal(fp.quantize(fp.dequantize(q, position), position, mode), q)


def test_shifts() -> None:
    assert fp.shift_cut(4, 7, 5) == 6
    assert fp.shift_bias(4, 7, 9) == 2
    assert [fp.shift_bias_minimum(cut) for cut in (0, 6, 16)] == [-16, -10, 0]


@pytest.mark.parametrize(
    ("side", "factor"),
    [(3, 0.984375), (5, 0.9765625), (6, 0.984375), (7, 1.0048828125), (14, 1.0048828125), (8, 1.0),
     (9, 0.9986572265625), (10, 1.0009765625), (11, 1.00439453125), (12, 1.001953125), (13, 1.00054931640625),
     (28, 1.0048828125)],
)  # fmt: skip
def test_average_pool_factors(side: int, factor: float) -> None:
    n, m = fp.average_pool_factor(side, side)
    assert side * side * n / 2**m == factor


def test_integer_ranges() -> None:
    assert fp.integer_range() == (-128, 127)
    assert fp.integer_range(8, unsigned=True) == (0, 255)
    assert fp.integer_range(8, narrow_range=True) == (-127, 127)


def test_the_examples_in_the_docstring() -> None:
    assert doctest.testmod(fp).failed == 0
