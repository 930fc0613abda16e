"""The DPU's ops in plain Python: nested loops and fractions, one output number at a time.

Written from the format's description alone, straight on xir's ops; it shares no code with the runtime.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

HALF = Fraction(1, 2)
AVERAGES = {(3, 3): (7, 6), (5, 5): (10, 8), (6, 6): (7, 8), (7, 7): (21, 10), (14, 14): (21, 12)}


def position(op: Any) -> int:
    return int(op.get_output_tensor().get_attr("fix_point"))


def rounded(x: Fraction, fix_point: int) -> int:
    return max(-128, min(127, math.floor(x * Fraction(2) ** fix_point + HALF)))


def real(q: Any, op: Any) -> Fraction:
    return Fraction(int(q)) / Fraction(2) ** position(op)


def activated(x: Fraction, op: Any) -> int:
    kind = op.get_attr("nonlinear") if op.has_attr("nonlinear") else "NONE"
    if kind in ("RELU", "RELU6"):
        x = max(x, Fraction(0))
    if kind == "RELU6":
        x = min(x, Fraction(6))
    if kind == "LEAKYRELU" and x < 0:
        x = x * 26 / 256
    if kind in ("HSIGMOID", "HSWISH"):
        entry, cut = op.get_attr("hsigmoid_in"), op.get_attr("shift_hsigmoid")
        q = rounded(x, entry)
        wide = max(Fraction(0), q * 2731 + 3 * 2731 * Fraction(2) ** entry)
        gate = rounded(wide / Fraction(2) ** cut, 0)
        return gate if kind == "HSIGMOID" else rounded(Fraction(q * gate) / 2 ** op.get_attr("shift_hswish"), 0)
    return rounded(x, position(op))


def inputs_of(op: Any, name: str, values: dict[str, np.ndarray]) -> list[tuple[Any, np.ndarray]]:
    return [(producer, values[producer.get_name()]) for producer in op.get_input_ops().get(name, [])]


def filled(op: Any, function: Callable[[tuple[int, ...]], int]) -> np.ndarray:
    """Return the op's output with each number from its place."""
    shape = op.get_output_tensor().dims
    out = np.zeros(shape, np.int8)
    for place in itertools.product(*(range(size) for size in shape)):
        out[place] = function(place)
    return out


def convolution(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    kind = op.get_type()
    [(source, x)], [(filters, w)] = inputs_of(op, "input", values), inputs_of(op, "weights", values)
    biases = inputs_of(op, "bias", values)
    (kw, kh), (sw, sh), (dw, dh) = op.get_attr("kernel"), op.get_attr("stride"), op.get_attr("dilation")
    left, _, top, _ = op.get_attr("pad")
    group = op.get_attr("group") if op.has_attr("group") else 1
    _, height, width, channels = x.shape

    def pixel(y: int, z: int, i: int, j: int) -> tuple[int, int] | None:
        """Return the input pixel that tap (i, j) of output pixel (y, z) reads, or None."""
        if kind.startswith("transposed"):  # out[y] = sum over in * stride + (kernel - 1 - tap) * dilation - pad == y
            row, col = y + top - (kh - 1 - i) * dh, z + left - (kw - 1 - j) * dw
            if row % sh or col % sw:
                return None
            row, col = row // sh, col // sw
        else:
            row, col = y * sh - top + i * dh, z * sw - left + j * dw
        return (row, col) if 0 <= row < height and 0 <= col < width else None

    def number(place: tuple[int, ...]) -> int:
        n, y, z, o = place
        total = 0
        for i, j in itertools.product(range(kh), range(kw)):
            at = pixel(y, z, i, j)
            if at is None:
                continue
            if "depthwise" in kind:
                c, m = divmod(o, w.shape[0])
                total += int(x[n, at[0], at[1], c]) * int(w[m, i, j, c])
            else:
                per = channels // group
                first = o // (w.shape[0] // group) * per
                total += sum(int(x[n, at[0], at[1], first + c]) * int(w[o, i, j, c]) for c in range(per))
        result = Fraction(total) / Fraction(2) ** (position(source) + position(filters))
        for bias, b in biases:
            result += real(b[o], bias)
        return activated(result, op)

    return filled(op, number)


def pool(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(source, x)] = inputs_of(op, "input", values)
    (kw, kh), (sw, sh) = op.get_attr("kernel"), op.get_attr("stride")
    left, _, top, _ = op.get_attr("pad")

    def number(place: tuple[int, ...]) -> int:
        n, y, z, c = place
        seen = [
            int(x[n, row, col, c])
            for row in range(y * sh - top, y * sh - top + kh)
            for col in range(z * sw - left, z * sw - left + kw)
            if 0 <= row < x.shape[1] and 0 <= col < x.shape[2]
        ]
        if op.get_attr("type") == "MAX":
            return rounded(real(max(seen, default=-128), source), position(op))
        factor, shift = AVERAGES.get((kh, kw)) or best_factor(kh * kw)
        return rounded(real(sum(seen) * factor, source) / 2**shift, position(op))

    return filled(op, number)


def best_factor(count: int) -> tuple[int, int]:
    """Return the (n, m), m < ceil(log2(128 * count)), whose n / 2**m is nearest to 1 / count; the first of equals."""
    best = None
    for m in range(math.ceil(math.log2(count * 128))):
        n = round(Fraction(2**m, count))  # half to even
        distance = abs(Fraction(n, 2**m) - Fraction(1, count))
        if best is None or distance < best[0]:
            best = (distance, n, m)
    assert best is not None
    return best[1], best[2]


def elementwise(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    shape = op.get_output_tensor().dims
    terms = [(source, np.broadcast_to(x, shape)) for source, x in inputs_of(op, "input", values)]

    def number(place: tuple[int, ...]) -> int:
        numbers = [real(x[place], source) for source, x in terms]
        return activated(math.prod(numbers) if op.get_attr("type") == "MUL" else sum(numbers, Fraction(0)), op)

    return filled(op, number)


def concat(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    axis = op.get_attr("axis")
    parts = inputs_of(op, "input", values)

    def number(place: tuple[int, ...]) -> int:
        index = place[axis]
        for source, x in parts:
            if index < x.shape[axis]:
                return rounded(real(x[(*place[:axis], index, *place[axis + 1 :])], source), position(op))
            index -= x.shape[axis]
        raise AssertionError(place)

    return filled(op, number)


def pad(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(_, x)] = inputs_of(op, "input", values)
    before = op.get_attr("paddings")[::2]
    mode, constant = op.get_attr("mode"), np.frombuffer(op.get_attr("constant_values"), np.int8)[0]

    def number(place: tuple[int, ...]) -> int:
        source = []
        for index, start, size in zip(place, before, x.shape, strict=True):
            i = index - start
            if not 0 <= i < size:
                if mode == "CONSTANT":
                    return int(constant)
                edge = 1 if mode == "REFLECT" else 0
                i = -i - 1 + edge if i < 0 else 2 * size - 1 - edge - i
            source.append(i)
        return int(x[tuple(source)])

    return filled(op, number)


def resize(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(source, x)] = inputs_of(op, "input", values)
    aligned, centred = op.get_attr("align_corners"), op.get_attr("half_pixel_centers")
    sizes, wanted = x.shape, op.get_output_tensor().dims

    def scale(axis: int) -> Fraction:
        if aligned and wanted[axis] > 1:
            return Fraction(sizes[axis] - 1, wanted[axis] - 1)
        return Fraction(sizes[axis], wanted[axis])

    def nearest(index: int, axis: int) -> int:
        place = (index + HALF if centred else index) * scale(axis)
        return min(math.floor(place + HALF) if aligned else math.floor(place), sizes[axis] - 1)

    def linear(index: int, axis: int) -> list[tuple[int, Fraction]]:
        place = (index + HALF) * scale(axis) - HALF if centred else index * scale(axis)
        place = max(Fraction(0), min(place, Fraction(sizes[axis] - 1)))
        low = math.floor(place)
        return [(low, 1 - (place - low)), (min(low + 1, sizes[axis] - 1), place - low)]

    def number(place: tuple[int, ...]) -> int:
        n, y, z, c = place
        if op.get_attr("mode") == "NEAREST":
            return rounded(real(x[n, nearest(y, 1), nearest(z, 2), c], source), position(op))
        total = sum(
            (a * b * real(x[n, row, col, c], source) for row, a in linear(y, 1) for col, b in linear(z, 2)), Fraction(0)
        )
        return rounded(total, position(op))

    return filled(op, number)


def function(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(source, x)] = inputs_of(op, "input", values)
    weights = inputs_of(op, "weight", values)

    def number(place: tuple[int, ...]) -> int:
        value, kind = real(x[place], source), op.get_type()
        if kind == "hard-sigmoid-fix":
            wide = max(Fraction(0), int(x[place]) * 2731 + 3 * 2731 * Fraction(2) ** op.get_attr("hsigmoid_in"))
            return rounded(wide / Fraction(2) ** op.get_attr("shift_hsigmoid"), 0)
        if kind == "relu6":
            value = min(value, Fraction(6))
        if value < 0:
            slope = Fraction(0)
            if kind == "leaky-relu":
                slope = Fraction(op.get_attr("alpha"))
            elif kind == "prelu":
                [(weight, w)] = weights
                slope = real(np.broadcast_to(w, x.shape)[place], weight)
            value *= slope
        return rounded(value, position(op))

    return filled(op, number)


def strided_slice(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(_, x)] = inputs_of(op, "input", values)
    begin, strides = op.get_attr("begin"), op.get_attr("strides")
    return filled(op, lambda place: int(x[tuple(b + i * s for b, i, s in zip(begin, place, strides, strict=True))]))


def reduction_max(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(_, x)] = inputs_of(op, "input", values)
    axes = op.get_attr("axis")

    def number(place: tuple[int, ...]) -> int:
        ranges = [range(size) if axis in axes else [place[axis]] for axis, size in enumerate(x.shape)]
        return max(int(x[at]) for at in itertools.product(*ranges))

    return filled(op, number)


def reshape(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(_, x)] = inputs_of(op, "input", values)
    flat = iter(int(number) for number in x.ravel())
    return filled(op, lambda place: next(flat))


def tile(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(_, x)] = inputs_of(op, "input", values)
    s, channels = op.get_attr("stride"), x.shape[3]

    def number(place: tuple[int, ...]) -> int:
        n, y, z, c = place
        if op.get_attr("reverse"):
            return int(x[n, y // s, z // s, (y % s * s + z % s) * (channels // s**2) + c])
        part, c = divmod(c, channels)
        return int(x[n, y * s + part // s, z * s + part % s, c])

    return filled(op, number)


def pixel_shuffle(op: Any, values: dict[str, np.ndarray]) -> np.ndarray:
    [(_, x)] = inputs_of(op, "input", values)
    s = op.get_attr("scale")

    def number(place: tuple[int, ...]) -> int:
        n, y, z, c = place
        if op.get_attr("reverse"):
            return int(x[n, y // s, z // s, c * s * s + y % s * s + z % s])
        c, part = divmod(c, s * s)
        return int(x[n, y * s + part // s, z * s + part % s, c])

    return filled(op, number)


DEFINITIONS: dict[str, Callable[[Any, dict[str, np.ndarray]], np.ndarray]] = {
    "conv2d-fix": convolution,
    "depthwise-conv2d-fix": convolution,
    "transposed-conv2d-fix": convolution,
    "transposed-depthwise-conv2d-fix": convolution,
    "pool-fix": pool,
    "eltwise-fix": elementwise,
    "depthwise-fix": elementwise,
    "concat-fix": concat,
    "pad-fix": pad,
    "upsample-fix": resize,
    "downsample-fix": resize,
    "hard-sigmoid-fix": function,
    "relu": function,
    "relu6": function,
    "leaky-relu": function,
    "prelu": function,
    "strided_slice-fix": strided_slice,
    "reduction_max-fix": reduction_max,
    "reshape-fix": reshape,
    "tile-fix": tile,
    "pixel-shuffle-fix": pixel_shuffle,
}


def define(graph: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the output of every op of a graph by op name."""
    values = dict(inputs)
    for op in graph.toposort():
        kind = op.get_type()
        if kind == "const-fix":
            values[op.get_name()] = np.frombuffer(op.get_attr("data"), np.int8).reshape(op.get_output_tensor().dims)
        elif kind != "data-fix":
            values[op.get_name()] = DEFINITIONS[kind](op, values)
    return values
