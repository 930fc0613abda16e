"""Random small xir graphs of DPU ops: odd shapes, pads, strides, and positions that force ties and saturation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import xir

Rng = np.random.Generator
ACTIVATIONS = ["NONE", "NONE", "RELU", "RELU6", "LEAKYRELU"]
HARD = ["HSIGMOID", "HSWISH"]


class GraphMaker:
    """Adds random ops to a graph; `live` holds the int8 NHWC values so far."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.graph = xir.Graph("random")
        self.live: list[Any] = []
        self.count = 0

    def pick(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def source(self) -> Any:
        return self.pick(self.live[-3:])

    def op(self, kind: str, position: int | None, inputs: dict[str, list[Any]], **attrs: Any) -> Any:
        self.count += 1
        made = self.graph.create_op(f"op{self.count}", kind, attrs, inputs)
        if position is not None:
            made.get_output_tensor().set_attr("fix_point", position)
        return made

    def data(self) -> Any:
        shape = [1, self.number(1, 9), self.number(1, 9), self.number(1, 9)]
        return self.op("data-fix", self.number(-3, 8), {}, shape=shape, data_type="XINT8")

    def constant(self, array: np.ndarray, position: int) -> Any:
        return self.op(
            "const-fix", position, {}, shape=list(array.shape), data_type="XINT8", data=array.astype(np.int8).tobytes()
        )

    def weights(self, *shape: int) -> np.ndarray:
        """Small numbers make ties, large ones saturation."""
        top = self.pick([1, 2, 8, 32, 128])
        array = self.rng.integers(-top, top, shape)
        return array * (self.rng.random(shape) < self.pick([0.3, 1.0]))


def shape_of(op: Any) -> list[int]:
    return op.get_output_tensor().dims


def position_of(op: Any) -> int:
    return op.get_output_tensor().get_attr("fix_point")


def window(maker: GraphMaker, size: int, largest: int = 4) -> tuple[int, int, int, int, int]:
    """Return kernel, stride, dilation, pad before, pad after that fit a size."""
    kernel = maker.number(1, largest)
    stride = maker.pick([1, 1, 2, 3])
    dilation = maker.pick([1, 1, 1, 2])
    reach = (kernel - 1) * dilation + 1
    if maker.number(0, 2) == 0:  # what TensorFlow's SAME chooses
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        return kernel, stride, dilation, total // 2, total - total // 2
    before = maker.number(0, reach - 1) if maker.number(0, 1) else 0
    after = maker.number(0, reach - 1) if maker.number(0, 1) else 0
    return kernel, stride, dilation, before, max(after, reach - size - before)


def convolution(maker: GraphMaker, kind: str) -> Any:
    source = maker.source()
    _, height, width, channels = shape_of(source)
    kh, sh, dh, top, bottom = window(maker, height)
    kw, sw, dw, left, right = window(maker, width)
    transposed = kind.startswith("transposed")
    if transposed:
        dh = dw = maker.pick([1, 1, 1, 2])
        top, bottom, left, right = (
            maker.number(0, (n - 1) * s + (k - 1) * d) // 2
            for n, s, k, d in ((height, sh, kh, dh),) * 2 + ((width, sw, kw, dw),) * 2
        )
    group = 1
    if "depthwise" in kind:
        multiplier = maker.pick([1, 1, 2])
        weights = maker.weights(multiplier, kh, kw, channels)
        outputs = channels * multiplier
    else:
        outputs = maker.number(1, 9)
        if not transposed and channels % 2 == 0 and maker.number(0, 3) == 0:
            group, outputs = 2, 2 * maker.number(1, 4)
        weights = maker.weights(outputs, kh, kw, channels // group)
    activation = maker.pick(ACTIVATIONS)
    attrs: dict[str, Any] = {"nonlinear": activation}
    if group > 1:
        attrs["group"] = group
    cut = maker.pick([-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16])
    weight_position = maker.number(-2, 9)
    position = position_of(source) + weight_position - cut
    if maker.number(0, 9) == 0:
        attrs.update(nonlinear=maker.pick(HARD), hsigmoid_in=position, shift_hsigmoid=14 + position - 7)
        middle, position = position, maker.number(4, 8)
        if attrs["nonlinear"] == "HSIGMOID":
            position = 7
        attrs["shift_hswish"] = middle + 7 - position
        attrs.update(shift_bias=0, shift_cut=cut)
    inputs = {"input": [source], "weights": [maker.constant(weights, weight_position)]}
    if maker.number(0, 4):
        bias = maker.rng.integers(-128, 128, outputs)
        shift = maker.pick([-3, -1, 0, 1, 2, cut - 1, cut, 7])
        inputs["bias"] = [maker.constant(bias, position_of(source) + weight_position - shift)]
    return maker.op(
        kind,
        position,
        inputs,
        kernel=[kw, kh],
        stride=[sw, sh],
        dilation=[dw, dh],
        pad=[left, right, top, bottom],
        **attrs,
    )


def pooling(maker: GraphMaker) -> Any:
    source = maker.source()
    _, height, width, _ = shape_of(source)
    kh, sh, _, top, bottom = window(maker, height, 5)
    kw, sw, _, left, right = window(maker, width, 5)
    kind = maker.pick(["MAX", "AVG", "AVG"])
    if maker.number(0, 3) == 0 and max(height, width) < 256:
        kh, kw, top, bottom, left, right = height, width, 0, 0, 0, 0
    top, left = min(top, kh - 1), min(left, kw - 1)
    bottom, right = max(min(bottom, kh - 1), kh - height - top), max(min(right, kw - 1), kw - width - left)
    position = position_of(source) + maker.pick([0, 0, 0, -1, 1, -3])
    return maker.op(
        "pool-fix",
        position,
        {"input": [source]},
        kernel=[kw, kh],
        stride=[sw, sh],
        pad=[left, right, top, bottom],
        type=kind,
    )


def elementwise(maker: GraphMaker) -> Any:
    source = maker.source()
    kind = maker.pick(["eltwise-fix", "eltwise-fix", "depthwise-fix"])
    operation = maker.pick(["ADD", "MUL"])
    same = [op for op in maker.live if shape_of(op) == shape_of(source)]
    count = 2 if kind == "depthwise-fix" else maker.pick([1, 2, 2, 2, 3])
    if operation == "MUL":
        count = 2
    others = [maker.pick(same) for _ in range(count - 1)]
    if count == 2 and maker.number(0, 2) == 0:
        shape = maker.pick([shape_of(source), [1, 1, 1, shape_of(source)[3]]])
        others = [maker.constant(maker.rng.integers(-128, 128, shape), position_of(source) + maker.number(-4, 4))]
    terms = [source, *others]
    positions = [position_of(op) for op in terms]
    base = sum(positions) if operation == "MUL" else max(positions)
    attrs: dict[str, Any] = {"type": operation}
    if kind == "eltwise-fix":
        attrs["nonlinear"] = maker.pick(ACTIVATIONS)
    return maker.op(kind, base - maker.pick([-1, 0, 0, 1, 2, 3, 5, 8, 11]), {"input": terms}, **attrs)


def concatenation(maker: GraphMaker) -> Any:
    source = maker.source()
    shape = shape_of(source)
    axis = maker.pick([3, 3, 1, 2])
    rest = shape[:axis] + shape[axis + 1 :]
    fits = [op for op in maker.live if shape_of(op)[:axis] + shape_of(op)[axis + 1 :] == rest]
    terms = [source, *(maker.pick(fits) for _ in range(maker.number(1, 2)))]
    return maker.op("concat-fix", position_of(maker.pick(terms)), {"input": terms}, axis=axis)


def padding(maker: GraphMaker) -> Any:
    source = maker.source()
    _, height, width, _ = shape_of(source)
    mode = maker.pick(["CONSTANT", "CONSTANT", "REFLECT", "SYMMETRIC"])
    most = (2, 2) if mode == "CONSTANT" else (min(2, height - 1), min(2, width - 1))
    rows, cols = ([maker.number(0, m), maker.number(0, m)] for m in most)
    value = maker.pick([0, 0, 5, -128])
    return maker.op(
        "pad-fix",
        position_of(source),
        {"input": [source]},
        paddings=[0, 0, *rows, *cols, 0, 0],
        mode=mode,
        constant_values=np.full(8, value, np.int8).tobytes(),
    )


def reshaping(maker: GraphMaker) -> Any:
    source = maker.source()
    _, height, width, channels = shape_of(source)
    shape = maker.pick(
        [[1, 1, height * width, channels], [1, width, height, channels], [1, 1, 1, height * width * channels]]
    )
    return maker.op("reshape-fix", position_of(source), {"input": [source]}, shape=shape)


def resizing(maker: GraphMaker) -> Any:
    source = maker.source()
    kind = maker.pick(["upsample-fix", "upsample-fix", "downsample-fix"])
    factors = [2.0, 3.0, 4.0] if kind == "upsample-fix" else [0.5, 1 / 3]
    scale = [maker.pick(factors), maker.pick(factors)]
    if kind == "downsample-fix" and min(shape_of(source)[1:3]) < 3:
        return None
    mode = maker.pick(["NEAREST", "BILINEAR"])
    align = bool(maker.number(0, 4) == 0)
    position = position_of(source) + maker.pick([0, 0, -1])
    return maker.op(
        kind,
        position,
        {"input": [source]},
        scale=scale,
        mode=mode,
        align_corners=align,
        half_pixel_centers=not align and bool(maker.number(0, 1)),
    )


def hard_sigmoid(maker: GraphMaker) -> Any:
    source = maker.source()
    entry = position_of(source)
    return maker.op("hard-sigmoid-fix", 7, {"input": [source]}, hsigmoid_in=entry, shift_hsigmoid=14 + entry - 7)


def activation(maker: GraphMaker) -> Any:
    source = maker.source()
    kind = maker.pick(["relu", "relu6", "leaky-relu", "prelu"])
    position = position_of(source) + maker.pick([0, 0, -1, 1, -4])
    inputs = {"input": [source]}
    attrs = {"alpha": maker.pick([26 / 256, 0.25])} if kind == "leaky-relu" else {}
    if kind == "prelu":
        weight = maker.rng.integers(-128, 128, [1, 1, 1, shape_of(source)[3]])
        inputs["weight"] = [maker.constant(weight, maker.number(5, 9))]
    made = maker.op(kind, position, inputs, **attrs)
    return retyped(made, position)


def retyped(op: Any, position: int) -> Any:
    """Make the output of an op that has no -fix form an int8 tensor, as a compiler does."""
    old = op.get_output_tensor()
    tensor = xir.Tensor.create(old.name, old.dims, "XINT8")
    tensor.set_attr("fix_point", position)
    op.replace_output_tensor(tensor)
    return op


def slicing(maker: GraphMaker) -> Any:
    source = maker.source()
    begin, end, strides = [0], [1], [1]
    for size in shape_of(source)[1:]:
        start = maker.number(0, size - 1)
        begin.append(start)
        end.append(maker.number(start + 1, size))
        strides.append(maker.pick([1, 1, 2]))
    return maker.op(
        "strided_slice-fix", position_of(source), {"input": [source]}, begin=begin, end=end, strides=strides
    )


def reduction(maker: GraphMaker) -> Any:
    source = maker.source()
    axis = maker.pick([[1], [2], [3], [1, 2]])
    return maker.op("reduction_max-fix", position_of(source), {"input": [source]}, axis=axis, keep_dims=True)


def blocks(maker: GraphMaker) -> Any:
    source = maker.source()
    _, height, width, channels = shape_of(source)
    if channels % 4 == 0 and maker.number(0, 1):
        kind, reverse = maker.pick(["tile-fix", "pixel-shuffle-fix"]), True
    elif height % 2 == 0 and width % 2 == 0:
        kind, reverse = maker.pick(["tile-fix", "pixel-shuffle-fix"]), False
    else:
        return None
    size = {"stride": 2, "reverse": reverse} if kind == "tile-fix" else {"scale": 2, "reverse": reverse}
    return maker.op(kind, position_of(source), {"input": [source]}, **size)


MAKERS: dict[str, Callable[[GraphMaker], Any]] = {
    "conv2d-fix": lambda maker: convolution(maker, "conv2d-fix"),
    "conv2d-fix again": lambda maker: convolution(maker, "conv2d-fix"),
    "depthwise-conv2d-fix": lambda maker: convolution(maker, "depthwise-conv2d-fix"),
    "transposed-conv2d-fix": lambda maker: convolution(maker, "transposed-conv2d-fix"),
    "transposed-depthwise-conv2d-fix": lambda maker: convolution(maker, "transposed-depthwise-conv2d-fix"),
    "pool-fix": pooling,
    "eltwise-fix": elementwise,
    "concat-fix": concatenation,
    "pad-fix": padding,
    "reshape-fix": reshaping,
    "resize": resizing,
    "hard-sigmoid-fix": hard_sigmoid,
    "activation": activation,
    "strided_slice-fix": slicing,
    "reduction_max-fix": reduction,
    "blocks": blocks,
}


def random_graph(seed: int, most_ops: int = 5) -> xir.Graph:
    """Return a graph of 1 to `most_ops` ops on one or two inputs."""
    maker = GraphMaker(np.random.default_rng(seed))
    maker.live = [maker.data() for _ in range(maker.number(1, 2))]
    wanted = maker.number(1, most_ops)
    while wanted:
        made = maker.pick(list(MAKERS.values()))(maker)
        if made is not None and int(np.prod(shape_of(made))) <= 20000:
            maker.live.append(made)
            wanted -= 1
    return maker.graph


def random_inputs(graph: xir.Graph, seed: int) -> dict[str, np.ndarray]:
    """Return int8 inputs by op name, of all numbers or of few small ones."""
    rng = np.random.default_rng(seed)
    inputs = {}
    for op in graph.get_ops():
        if op.get_type() == "data-fix":
            top = int(rng.choice([3, 16, 128, 128]))
            inputs[op.get_name()] = rng.integers(-top, top, op.get_output_tensor().dims).astype(np.int8)
    return inputs
