from __future__ import annotations

import math

import numpy as np
import pytest
import quantizer_reference as reference
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from softdpu.numbers import fixed_point
from softdpu.quantizer import ops

MODES = (fixed_point.HALF_TO_EVEN, fixed_point.HALF_UP, fixed_point.HALF_AWAY_FROM_ZERO, fixed_point.FLOOR)
positions = st.integers(-20, 20)
quarters = st.integers(-600, 600).map(lambda n: n / 4)  # halves are ties, and the ends saturate


def run(x: np.ndarray, position: int, form: ops.Format, graph: bool) -> np.ndarray:
    function = tf.function(ops.fake_quantize, autograph=False) if graph else ops.fake_quantize
    return function(tf.constant(x), tf.constant(float(position)), form).numpy()


@settings(max_examples=200, deadline=None)
@given(st.lists(quarters, min_size=1, max_size=8), positions, st.sampled_from(MODES))
def test_equals_the_integer_definition(grid, position, mode):
    x = np.ldexp(np.asarray(grid, np.float32), -position)
    expected = [reference.quantize_value(float(v), position, mode) for v in x]
    result = run(x, position, ops.Format(round_mode=mode), graph=False)
    assert np.array_equal(np.ldexp(result, position), np.asarray(expected, np.float32))
    assert np.array_equal(result, fixed_point.fake_quantize(x, position, mode))


@settings(max_examples=50, deadline=None)
@given(st.lists(quarters, min_size=1, max_size=8), positions, st.sampled_from(MODES), st.booleans(), st.booleans())
def test_other_ranges(grid, position, mode, unsigned, narrow):
    low, high = fixed_point.integer_range(8, unsigned, narrow and not unsigned)
    x = np.ldexp(np.asarray(grid, np.float32), -position)
    expected = [reference.quantize_value(float(v), position, mode, low, high) for v in x]
    form = ops.Format(8, mode, unsigned, narrow and not unsigned)
    assert np.array_equal(np.ldexp(run(x, position, form, graph=False), position), np.asarray(expected, np.float32))


@pytest.mark.parametrize("mode", MODES)
def test_graph_equals_eager(mode):
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    for position in (-3, 0, 5, 51):
        form = ops.Format(round_mode=mode)
        assert np.array_equal(run(x, position, form, graph=True), run(x, position, form, graph=False))


halves = st.integers(-520, 520).map(lambda n: np.float32(n / 2))


def neighbour(tie: np.float32, side: int) -> np.float32:
    """Return the next float32 on that side; beside zero one that is no subnormal at any position.

    TensorFlow and other libraries switch a thread to flush subnormals to zero, so those have no value to test.
    """
    if side and not tie:
        return np.float32(side * 2.0**-100)
    return np.nextafter(tie, np.float32(side * np.inf)) if side else tie


@settings(max_examples=200, deadline=None)
@given(st.lists(halves, min_size=1, max_size=8), st.sampled_from([-1, 0, 1]), positions, st.sampled_from(MODES))
def test_one_float_beside_every_tie(ties, side, position, mode):
    """All modes but half up are exact; half up is floor(x + 0.5) in float32, as the DPU's model is."""
    beside = np.asarray([neighbour(tie, side) for tie in ties], np.float32)
    scaled = beside + np.float32(0.5) if mode == fixed_point.HALF_UP else beside
    definition = fixed_point.FLOOR if mode == fixed_point.HALF_UP else mode
    expected = np.float32([reference.quantize_value(float(v), 0, definition) for v in scaled])
    x = np.ldexp(beside, -position)
    assert np.array_equal(fixed_point.fake_quantize(x, position, mode), np.ldexp(expected, -position))
    result = run(x, position, ops.Format(round_mode=mode), graph=False)
    assert np.array_equal(result, np.ldexp(expected, -position))


@settings(max_examples=100)
@given(st.integers(1, 2**23 - 1), st.sampled_from([-1, 1]), positions, st.sampled_from(MODES))
def test_subnormals_are_themselves_or_zero(mantissa, sign, position, mode):
    """A thread may flush them to zero; only rounding down can tell the difference, by one step."""
    x = np.float32([sign * math.ldexp(mantissa, -149)])
    step = 2.0**-position
    allowed = {0.0, -step} if mode == fixed_point.FLOOR and sign < 0 else {0.0}
    assert set(fixed_point.fake_quantize(x, position, mode).tolist()) <= allowed
    assert set(run(x, position, ops.Format(round_mode=mode), graph=False).tolist()) <= allowed


def test_half_away_from_zero_is_exact():
    """AMD's own code gives -1 for -0.49999997, where x - floor(x) rounds to 0.5; C's round gives 0 as here."""
    form = ops.Format(round_mode=fixed_point.HALF_AWAY_FROM_ZERO)
    x = np.float32([0.49999997, -0.49999997, 0.5, -0.5, 1.5, -2.5])
    assert run(x, 0, form, graph=False).tolist() == [0, 0, 1, -1, 2, -3]
    assert fixed_point.round_real(x, form.round_mode).tolist() == [0, 0, 1, -1, 2, -3]


def test_half_up_adds_in_float32():
    assert run(np.float32([0.49999997, -0.5, 0.5]), 0, ops.Format(), graph=False).tolist() == [1, 0, 1]


def position(x: np.ndarray, method: int, form: ops.Format, graph: bool) -> float:
    def choose(x: tf.Tensor) -> tf.Tensor:
        return ops.choose_position(x, *ops.full_range(x, form), method, form)

    return float((tf.function(choose, autograph=False) if graph else choose)(tf.constant(x)))


@pytest.mark.parametrize("graph", [False, True])
def test_measured_positions(graph):
    """The values that AMD's quantizer gave, its float32 logarithm's odd ones included."""
    cases = {1.0: 6, 0.99: 7, 6.0: 4, 30000.0: -8, 0.0: 51}
    cases.update({127 * 2.0**e: -e for e in range(-30, 31) if e not in (-30, -26, -15, -13)})
    cases.update({127 * 2.0**e: -e - 1 for e in (-30, -26, -15, -13)})
    for high, expected in cases.items():
        assert position(np.float32([high, 0]), ops.NON_OVERFLOW, ops.Format(), graph) == expected, high
    assert position(np.float32([-1.0, 0]), ops.NON_OVERFLOW, ops.Format(), graph) == 7


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-4, 4), st.sampled_from(MODES[:2]), st.booleans())
def test_positions_equal_the_exact_search(seed, spread, mode, relu):
    rng = np.random.default_rng(seed)
    x = (rng.standard_t(3, size=300) * 10.0**spread).astype(np.float32)
    x = np.maximum(x, 0) if relu else x
    assume(x.any())
    form = ops.Format(round_mode=mode)
    first = position(x, ops.NON_OVERFLOW, form, graph=False)
    # One unit of float32 above a power of two the logarithm rounds; elsewhere the exact answer is reached.
    assert first == reference.position_without_overflow(x)
    assert position(x, ops.MIN_MSE, form, graph=False) == reference.least_error_position(x, mode)


def test_the_early_end_of_the_search_loses_nothing():
    rng = np.random.default_rng(3)
    for _ in range(40):
        size = int(rng.integers(1, 400))
        x = (rng.normal(size=size) ** int(rng.integers(1, 6)) * 2.0 ** rng.integers(-9, 9)).astype(np.float32)
        form = ops.Format()
        first = position(x, ops.NON_OVERFLOW, form, graph=False)
        errors = [float(ops.squared_error(tf.constant(x), first + k, form)) for k in range(ops.CANDIDATES)]
        for graph in (False, True):
            assert position(x, ops.MIN_MSE, form, graph) == first + int(np.argmin(errors))


def test_one_position_a_channel():
    x = np.float32([[1.0, 100.0], [0.5, -3.0]])
    form = ops.Format(round_mode=fixed_point.HALF_TO_EVEN, channel_axis=-1)
    f_min, f_max = ops.full_range(tf.constant(x), form)
    assert ops.position_without_overflow(f_min, f_max, form).numpy().tolist() == [[6.0, 0.0]]


def test_straight_through_gradient_keeps_clipped_values():
    x = tf.constant([0.3, 5.0, -9.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(ops.fake_quantize(x, tf.constant(6.0), ops.Format()) * [1.0, 2.0, 3.0])
    assert tape.gradient(y, x).numpy().tolist() == [1.0, 2.0, 3.0]


def test_threshold_gradients():
    """log_th = 0.3 gives position 7 - 1 = 6; values up to 127.49/64 are inside."""
    x = tf.constant([0.5078125, 1.99, 1.995, 5.0, -2.0, -2.02])
    upstream = np.float32([1, 2, 3, 4, 5, 6])
    threshold = tf.constant(0.3)
    with tf.GradientTape() as tape:
        tape.watch([x, threshold])
        y = tf.reduce_sum(ops.fake_quantize_with_threshold(x, threshold, ops.Format()) * upstream)
    quantized = np.float32([33, 127, 127, 127, -128, -128]) / 64
    inside = np.array([True, True, False, False, True, False])
    to_x, to_threshold = tape.gradient(y, [x, threshold])
    assert np.array_equal(to_x.numpy(), np.where(inside, upstream, 0))
    expected = np.log(2) * np.sum(upstream * np.where(inside, quantized - x.numpy(), quantized))
    assert float(to_threshold) == pytest.approx(expected, rel=1e-5)
