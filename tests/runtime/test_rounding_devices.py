"""The devices that make LiteRT's rounding the DPU's, tried on every accumulator that is not saturated.

LiteRT's kernels compute rint(float32(sum) * float32(scale)).
"""

from __future__ import annotations

import numpy as np
import pytest

from softdpu.numbers import fixed_point
from softdpu.runtime.litert import conv
from softdpu.runtime.litert.lowering import UP


def litert(sums: np.ndarray, scale: float) -> np.ndarray:
    return np.rint(sums.astype(np.float32) * np.float32(scale)).astype(np.int64)


@pytest.mark.parametrize("cut", range(1, conv._CUT_POSITIVE + 1))
def test_positive_sums(cut):
    sums = np.arange(0, 129 << cut)
    np.testing.assert_array_equal(litert(sums, UP * 2.0**-cut), fixed_point.shift_right(sums, cut))


@pytest.mark.parametrize("cut", range(1, conv._CUT_SIGNED + 1))
def test_signed_sums_with_an_offset_of_128_steps(cut):
    sums = np.arange(-129 << cut, 129 << cut)
    got = litert(sums + (128 << cut), UP * 2.0**-cut) - 128
    inside = sums >= -128 << cut  # below, both saturate
    np.testing.assert_array_equal(got[inside], fixed_point.shift_right(sums, cut)[inside])
    assert (got[~inside] <= -128).all()


@pytest.mark.parametrize("cut", range(1, conv._CUT_LEAKY + 1))
def test_negative_part_of_leaky_relu(cut):
    sums = np.arange(-1265 << cut, 1)
    expected = fixed_point.shift_right(sums * 13, cut + 7)
    got = litert(sums, conv._LEAKY_SLOPE * 2.0**-cut)
    np.testing.assert_array_equal(np.maximum(got, -128), np.maximum(expected, -128))


def test_one_step_more_would_be_wrong():
    cut = conv._CUT_POSITIVE + 1
    sums = np.arange(0, 129 << cut)
    assert (litert(sums, UP * 2.0**-cut) != fixed_point.shift_right(sums, cut)).any()
    cut = conv._CUT_LEAKY + 1
    sums = np.arange(-1265 << cut, 1)
    assert (litert(sums, conv._LEAKY_SLOPE * 2.0**-cut) != fixed_point.shift_right(sums * 13, cut + 7)).any()
