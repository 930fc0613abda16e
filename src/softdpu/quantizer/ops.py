"""Fake-quantization in TensorFlow: the twin of `softdpu.numbers.fixed_point` that runs inside a graph.

A tensor with position p is rounded to the grid of step 2**-p and saturated to the integer range of its format. The
position comes from the tensor's range (`position_without_overflow`) and, for most tensors, from a search over that
position and the next four for the smallest squared error (`position_of_least_error`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from typing import Any, Iterator  # noqa: UP035 - the annotations' ABCs are not generic before Python 3.9

import numpy as np

from softdpu.keras2 import replicas
from softdpu.keras2.api import tf
from softdpu.numbers import fixed_point
from softdpu.quantizer.errors import QuantizerError

NON_OVERFLOW, MIN_MSE = 0, 1
CANDIDATES = 5
SMALLEST_SCALE = np.float32(2.0**-52)  # the double epsilon: an all-zero tensor has position 51 or 52 and no infinity

_plain = False

_FUSED_MODES = {fixed_point.HALF_TO_EVEN: "HALF_TO_EVEN", fixed_point.HALF_UP: "HALF_UP"}


@dataclasses.dataclass(frozen=True)
class Format:
    """How a tensor is quantized: integer range, rounding, and whether each channel has its own position."""

    bit_width: int = 8
    round_mode: int = fixed_point.HALF_UP
    unsigned: bool = False
    narrow_range: bool = False
    channel_axis: int | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest integer."""
        return fixed_point.integer_range(self.bit_width, self.unsigned, self.narrow_range)


@contextlib.contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Fake-quantize with multiplication, rounding and minimum alone within the block, for formats that know no more."""
    global _plain
    _plain = True
    try:
        yield
    finally:
        _plain = False


def round_real(x: tf.Tensor, mode: int) -> tf.Tensor:
    """Round to whole numbers; the modes are those of `softdpu.numbers.fixed_point`."""
    if mode == fixed_point.HALF_TO_EVEN:
        return tf.round(x)
    if mode == fixed_point.HALF_UP:
        return tf.floor(x + 0.5)
    if mode == fixed_point.HALF_AWAY_FROM_ZERO:
        # |x| + 0.5 would lift 0.49999997 to 1, so ties are told apart by an exact subtraction.
        magnitude = tf.abs(x)
        floored = tf.floor(magnitude)
        return tf.sign(x) * (floored + tf.cast(magnitude - floored >= 0.5, x.dtype))
    if mode == fixed_point.FLOOR:
        return tf.floor(x)
    raise QuantizerError(f"expected round mode 0, 1, 2 or 3, got {mode}")


def power_of_two(exponent: tf.Tensor) -> tf.Tensor:
    """Return 2**exponent, exactly, for whole exponents between -126 and 127.

    The bits are set directly because `pow` is not exact on every device.
    """
    if isinstance(exponent, float):
        return np.float32(2.0**exponent)
    biased = tf.clip_by_value(tf.cast(exponent, tf.int32) + 127, 1, 254)
    return tf.bitcast(tf.bitwise.left_shift(biased, 23), tf.float32)


def round_and_saturate(x: tf.Tensor, position: tf.Tensor, form: Format) -> tf.Tensor:
    """Return the fake-quantized tensor, float32 like `x`; no gradient is defined here."""
    low, high = form.limits
    step = power_of_two(-position)
    if form.channel_axis is None and form.round_mode in _FUSED_MODES and not _plain:
        # One pass over memory. It clips before it rounds, which is the same because both bounds are whole numbers.
        return tf.raw_ops.QuantizeAndDequantizeV4(
            input=x,
            input_min=low * step,
            input_max=high * step,
            signed_input=not form.unsigned,
            num_bits=form.bit_width,
            range_given=True,
            round_mode=_FUSED_MODES[form.round_mode],
            narrow_range=form.narrow_range,
            axis=-1,
        )
    return tf.clip_by_value(round_real(x * power_of_two(position), form.round_mode), low, high) * step


@tf.custom_gradient
def _pass_gradient(x: tf.Tensor, quantized: tf.Tensor) -> tuple:
    return quantized, lambda gradient: (gradient, None)


def fake_quantize(x: tf.Tensor, position: tf.Tensor, form: Format) -> tf.Tensor:
    """Round to the grid of `position` and saturate; the gradient passes straight through, clipped values included."""
    return _pass_gradient(x, round_and_saturate(tf.stop_gradient(x), position, form))


def full_range(x: tf.Tensor, form: Format) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the range (f_min, f_max) that a position must cover, widened to the format's symmetry.

    Signed 8 bit: f_min / f_max = -128 / 127, so that either end can decide. Scalars, or one per channel.
    """
    axes = None
    if form.channel_axis is not None and len(x.shape) > 1:
        axes = [axis for axis in range(len(x.shape)) if axis != form.channel_axis % len(x.shape)]
        low, high = tf.reduce_min(x, axes, keepdims=True), tf.reduce_max(x, axes, keepdims=True)
    elif form.channel_axis is not None:
        low, high = x, x
    else:
        low, high = tf.reduce_min(x), tf.reduce_max(x)
    if form.unsigned:
        return tf.minimum(low, 0.0), tf.maximum(high, 0.0)
    if form.narrow_range:
        return tf.minimum(low, -high), tf.maximum(high, -low)
    ratio = -((1 << form.bit_width) - 2) / (1 << form.bit_width)
    return tf.minimum(low, high * (1.0 / ratio)), tf.maximum(high, low * ratio)


def _ties_per_exponent() -> np.ndarray:
    """Return, for each exponent E of a float32, the largest mantissa for which -log2(s) still rounds to -E or above.

    The position is floor(-ln(s) / ln(2)) computed in float32. Just above a power of two the quotient rounds to the
    whole number, and for a few exact powers of two it rounds below it (entry -1). The table keeps both, so that the
    result does not depend on how a device or an optimized graph computes a logarithm.
    """
    ln2 = np.float32(math.log(2.0))
    table = np.zeros(255, np.int32)
    for exponent in range(-52, 127):
        mantissa = 0
        while True:
            s = math.ldexp(1.0 + mantissa / 2**23, exponent)
            if math.floor(-np.float32(math.log(s)) / ln2) < -exponent:
                break
            mantissa += 1
        table[exponent + 127] = mantissa - 1
    return table


_TIES = _ties_per_exponent()


def position_without_overflow(f_min: tf.Tensor, f_max: tf.Tensor, form: Format) -> tf.Tensor:
    """Return the largest position at which nothing saturates, float32: floor(-log2(max(f_min/q_min, f_max/q_max)))."""
    low, high = form.limits
    scale = f_max / float(high)
    if not form.unsigned:
        scale = tf.maximum(f_min / float(low), scale)
    if tf.executing_eagerly() and not scale.shape.rank:
        fraction, exponent = math.frexp(max(float(scale), float(SMALLEST_SCALE)))
        mantissa = round((2.0 * fraction - 1.0) * 2**23)
        return tf.constant(float(1 - exponent - int(mantissa > _TIES[exponent + 126])))
    bits = tf.bitcast(tf.maximum(scale, SMALLEST_SCALE), tf.int32)
    biased = tf.bitwise.right_shift(bits, 23)
    mantissa = tf.bitwise.bitwise_and(bits, 0x7FFFFF)
    ties = tf.gather(tf.constant(_TIES), tf.clip_by_value(biased, 0, 254))
    return tf.cast(127 - biased - tf.cast(mantissa > ties, tf.int32), tf.float32)


def squared_error(x: tf.Tensor, position: tf.Tensor, form: Format) -> tf.Tensor:
    """Return the sum over the tensor of (x - fake_quantize(x))**2."""
    return 2.0 * tf.nn.l2_loss(x - round_and_saturate(x, position, form))


def position_of_least_error(x: tf.Tensor, first: tf.Tensor, form: Format) -> tf.Tensor:
    """Return the position of first..first+4 with the least squared error; the smaller one of a tie.

    A value inside the range is off by at most half a step, so error(k) - size * (step/2)**2 is a lower bound of the
    error by saturation at k, and of every later candidate's error. The search ends where that bound has passed the
    best.
    """
    if tf.executing_eagerly() and not first.shape.rank:
        return tf.constant(_least_error_eagerly(x, float(first), form))
    size = tf.cast(tf.size(x), tf.float32)

    def undecided(offset: tf.Tensor, _best: tf.Tensor, least: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
        return (offset < CANDIDATES) & ~(bound > least)

    def evaluate(offset: tf.Tensor, best: tf.Tensor, least: tf.Tensor, _bound: tf.Tensor) -> tuple:
        position = first + tf.cast(offset, tf.float32)
        error = squared_error(x, position, form)
        half_step = 0.5 * tf.reduce_max(power_of_two(-position))
        better = error < least
        return (
            offset + 1,
            tf.where(better, offset, best),
            tf.where(better, error, least),
            0.999 * error - size * half_step * half_step,
        )

    start = (tf.constant(0), tf.constant(0), tf.constant(np.float32(np.inf)), tf.constant(np.float32(-np.inf)))
    _, best, _, _ = tf.while_loop(undecided, evaluate, start, parallel_iterations=1, maximum_iterations=CANDIDATES)
    return first + tf.cast(best, tf.float32)


def _least_error_eagerly(x: tf.Tensor, first: float, form: Format) -> float:
    """Do the search of `position_of_least_error` with Python numbers, without a graph's or a tensor's overhead."""
    size = int(tf.size(x))
    best, least = first, math.inf
    for offset in range(CANDIDATES):
        error = float(squared_error(x, first + offset, form))
        if error < least:
            best, least = first + offset, error
        if 0.999 * error - size * (0.5 * 2.0 ** -(first + offset)) ** 2 > least:
            break
    return best


def choose_position(x: tf.Tensor, f_min: tf.Tensor, f_max: tf.Tensor, method: int, form: Format) -> tf.Tensor:
    """Return the position of a tensor by the method NON_OVERFLOW or MIN_MSE."""
    x = tf.stop_gradient(x)
    first = position_without_overflow(f_min, f_max, form)
    return first if method == NON_OVERFLOW else position_of_least_error(x, first, form)


@functools.lru_cache(maxsize=None)  # noqa: UP033 - functools.cache is not in Python 3.7
def _trace_choice(method: int, form: Format) -> Any:
    """Return the choice of a position as a function that is traced once and called for every tensor of a model.

    A model has some hundred quantizers; tracing the search anew for each would take longer than many training steps.
    """

    def choice(x: tf.Tensor) -> tuple:
        f_min, f_max = full_range(x, form)
        position = choose_position(x, f_min, f_max, method, form)
        return round_and_saturate(x, position, form), f_min, f_max, position

    return tf.function(choice, input_signature=[tf.TensorSpec(None, tf.float32)], autograph=False)


def _choice_over_replicas(x: tf.Tensor, method: int, form: Format) -> tuple:
    """Return what `_trace_choice` would for the whole of a tensor of which each device has a part.

    All candidates are tried, because the devices must exchange their errors the same number of times.
    """
    f_min, f_max = replicas.find_widest(*full_range(x, form))
    position = position_without_overflow(f_min, f_max, form)
    if method == MIN_MSE:
        errors = tf.stack([squared_error(x, position + k, form) for k in range(CANDIDATES)])
        position += tf.cast(tf.argmin(replicas.total(errors)), tf.float32)
    return round_and_saturate(x, position, form), f_min, f_max, position


def fake_quantize_by_range(x: tf.Tensor, method: int, form: Format) -> tuple:
    """Return (quantized, f_min, f_max, position) with the position that `x` itself has; gradient as `fake_quantize`."""
    values = tf.stop_gradient(x)
    if replicas.has_several():
        quantized, f_min, f_max, position = _choice_over_replicas(values, method, form)
    elif form.channel_axis is None:
        quantized, f_min, f_max, position = _trace_choice(method, form)(values)
    else:
        f_min, f_max = full_range(values, form)
        position = choose_position(values, f_min, f_max, method, form)
        quantized = round_and_saturate(values, position, form)
    return _pass_gradient(x, tf.ensure_shape(quantized, x.shape)), f_min, f_max, position


def fake_quantize_with_threshold(x: tf.Tensor, log_threshold: tf.Tensor, form: Format) -> tf.Tensor:
    """Fake-quantize with the trained threshold 2**log_threshold; position = bit_width - 1 - ceil(log_threshold).

    Gradient to x: 1 where the rounded value is inside the integer range, 0 where it saturates. Gradient to
    log_threshold (ceil passed straight through): ln 2 * sum(dy * (quantized - x)) inside, ln 2 * sum(dy * quantized)
    where it saturates.
    """

    @tf.custom_gradient
    def quantize(x: tf.Tensor, threshold: tf.Tensor) -> tuple:
        position = form.bit_width - 1 - tf.math.ceil(threshold)
        quantized = round_and_saturate(x, position, form)

        def gradient(dy: tf.Tensor) -> tuple:
            low, high = form.limits
            rounded = round_real(x * power_of_two(position), form.round_mode)
            inside = tf.cast((rounded >= low) & (rounded <= high), dy.dtype)
            to_threshold = math.log(2.0) * tf.reduce_sum(dy * (quantized - inside * x))
            return dy * inside, to_threshold

        return quantized, gradient

    return quantize(x, tf.convert_to_tensor(log_threshold))
