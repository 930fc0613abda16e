"""The operations of random ONNX graphs, in the forms in which exporters write them."""

from __future__ import annotations

from typing import Any

import numpy as np
from random_maker import Maker, any_step, image_step


def _window(make: Maker, sizes: tuple[int, ...], most: int = 4) -> dict[str, Any]:
    kernel = [int(make.random.integers(1, min(most, size) + 1)) for size in sizes]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": [make.pick(1, 1, 2, 3) for _ in sizes]}
    how = make.pick("none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID")
    if how == "pads":
        attrs["pads"] = [int(make.random.integers(0, (kernel[i % 2] + 1) // 2 + 0)) for i in range(4)]
    elif how != "none":
        attrs["auto_pad"] = how
    return attrs


@image_step
def conv(make: Maker, x: str) -> list[str] | None:
    _, channels, *sizes = make.shapes[x]
    group = make.pick(1, 1, channels, *(g for g in (2, 3) if channels % g == 0))
    out = group * int(make.random.integers(1, 4))
    attrs = _window(make, tuple(sizes), 5)
    if attrs.get("auto_pad") is None:
        dilations = [make.pick(1, 1, 2) for _ in sizes]
        if all((k - 1) * d < size for k, d, size in zip(attrs["kernel_shape"], dilations, sizes, strict=True)):
            attrs["dilations"] = dilations
    weights = make.normal(out, channels // group, *attrs["kernel_shape"])
    return make.node("Conv", [x, weights, *([make.normal(out)] if make.pick(0, 1) else [])], group=group, **attrs)


@image_step
def conv_transpose(make: Maker, x: str) -> list[str] | None:
    _, channels, height, width = make.shapes[x]
    if height * width > 150:
        return None
    group = make.pick(1, 1, channels)
    out = int(make.random.integers(1, 4))
    kernel = [make.pick(1, 2, 3, 4) for _ in range(2)]
    strides = [make.pick(1, 2, 3) for _ in range(2)]
    attrs: dict[str, Any] = {"kernel_shape": kernel, "strides": strides, "group": group}
    if make.pick(0, 1):
        attrs["pads"] = [int(make.random.integers(0, (kernel[i % 2] + 1) // 2)) for i in range(4)]
        attrs["output_padding"] = [int(make.random.integers(0, strides[i])) for i in range(2)]
    if make.pick(0, 0, 1):
        attrs["dilations"] = [make.pick(1, 2) for _ in range(2)]
    weights = make.normal(channels, out, *kernel)
    return make.node("ConvTranspose", [x, weights, *([make.normal(out * group)] if make.pick(0, 1) else [])], **attrs)


@image_step
def pool(make: Maker, x: str) -> list[str] | None:
    kind = make.pick("MaxPool", "AveragePool")
    attrs = _window(make, make.shapes[x][2:])
    if attrs.get("auto_pad", "").startswith("SAME"):
        # Where strides leave pixels out, onnxruntime pads by less than nothing or refuses to; TensorFlow begins at 0.
        attrs["strides"] = [min(pair) for pair in zip(attrs["strides"], attrs["kernel_shape"], strict=True)]
    if make.version >= 10 and "auto_pad" not in attrs:
        attrs["ceil_mode"] = make.pick(0, 1)
    if kind == "AveragePool":
        attrs["count_include_pad"] = make.pick(0, 1)
        # onnxruntime counts pixels beyond the padding where ceil_mode has a last window there; ONNX does not.
        if attrs.get("ceil_mode") and attrs["count_include_pad"]:
            attrs["count_include_pad"] = 0
    return make.node(kind, [x], **attrs)


@image_step
def normalize(make: Maker, x: str) -> list[str] | None:
    channels = make.shapes[x][1]
    kind = make.pick("BatchNormalization", "BatchNormalization", "LRN", "InstanceNormalization")
    if kind == "LRN":
        return make.node("LRN", [x], size=make.pick(1, 3, 5), alpha=0.3, beta=0.75, bias=1.5)
    if kind == "InstanceNormalization":
        return make.node(kind, [x, make.normal(channels), make.normal(channels)], epsilon=1e-3)
    variance = make.constant(make.random.uniform(0.5, 2, channels))
    return make.node(kind, [x, make.normal(channels), make.normal(channels), make.normal(channels), variance])


@image_step
def reduce(make: Maker, x: str) -> list[str] | None:
    kind = make.pick("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax")
    if kind.startswith("Global"):
        return make.node(kind, [x])
    axes = make.pick([2, 3], [1], [-1, -2], [3], [1, 2, 3])
    keep = make.pick(0, 1, 1)
    if make.version >= 18:
        return make.node(kind, [x, make.constant(axes, np.int64)], keepdims=keep)
    if kind == "ReduceMax" and make.version < 11 and min(axes) < 0:
        axes = [2, 3]
    if make.version < 11 and min(axes) < 0:
        axes = [2, 3]
    return make.node(kind, [x], axes=axes, keepdims=keep)


@image_step
def resize(make: Maker, x: str) -> list[str] | None:
    _, _, height, width = make.shapes[x]
    if height * width > 150 or make.version in (8,):
        return None
    mode = make.pick("nearest", "linear")
    scales = make.pick([1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 3.0, 2.0], [1.0, 1.0, 2.0, 1.0])
    if make.version == 7:
        return make.node("Upsample", [x], mode=mode, scales=scales)
    if make.version == 9:
        return make.node("Upsample", [x, make.constant(scales)], mode=mode)
    if make.version == 10:
        return make.node("Resize", [x, make.constant(scales)], mode=mode)
    how = make.pick("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    nearest = make.pick("floor", "ceil", "round_prefer_floor", "round_prefer_ceil") if mode == "nearest" else None
    attrs = {"mode": mode, "coordinate_transformation_mode": how, "nearest_mode": nearest}
    roi = "" if make.version >= 13 else make.constant([])
    if make.pick(0, 1):
        sizes = [*make.shapes[x][:2], int(make.random.integers(2, 20)), int(make.random.integers(2, 20))]
        return make.node(
            "Resize", [x, roi, "" if make.version >= 13 else make.constant([]), make.constant(sizes, np.int64)], **attrs
        )
    scales = make.pick(scales, [1.0, 1.0, 0.5, 0.5], [1.0, 1.0, 1.5, 2.5])
    if min(height * scales[2], width * scales[3]) < 1:
        return None
    return make.node("Resize", [x, roi, make.constant(scales)], **attrs)


@image_step
def pad(make: Maker, x: str) -> list[str] | None:
    mode = make.pick("constant", "constant", "reflect", "edge")
    most = 3 if min(make.shapes[x][2:]) > 3 else 1
    low, high = ([0, 0, *make.random.integers(0, most, 2).tolist()] for _ in range(2))
    if mode == "constant":
        low[1] = make.pick(0, 0, 1)
    number = float(make.pick(0.0, 0.0, 1.5)) if mode == "constant" else None
    if make.version < 11:
        return make.node("Pad", [x], mode=mode, pads=low + high, value=number)
    inputs = [x, make.constant(low + high, np.int64)]
    return make.node("Pad", inputs + ([make.constant(number)] if number else []), mode=mode)


@image_step
def slopes(make: Maker, x: str) -> list[str] | None:
    shape = make.pick((make.shapes[x][1], 1, 1), (1,), (make.shapes[x][1], 1, 1))
    return make.node("PRelu", [x, make.constant(make.random.uniform(0, 0.5, shape))])


@image_step
def blocks(make: Maker, x: str) -> list[str] | None:
    _, channels, height, width = make.shapes[x]
    if make.pick(0, 1) and height % 2 == 0 and width % 2 == 0:
        return make.node("SpaceToDepth", [x], blocksize=2)
    if channels % 4 == 0 and height * width < 150:
        return make.node("DepthToSpace", [x], blocksize=2, mode=make.pick("DCR", "CRD") if make.version >= 11 else None)
    if channels % 2 == 0 and channels > 2:
        batch = make.shapes[x][0]
        split = make.node("Reshape", [x, make.constant([batch, 2, channels // 2, height, width], np.int64)])
        turned = make.node("Transpose", split, perm=[0, 2, 1, 3, 4])
        return make.node("Reshape", [turned[0], make.constant([batch, -1, height, width], np.int64)])
    return None


@image_step
def flatten(make: Maker, x: str) -> list[str] | None:
    batch, *sizes = make.shapes[x]
    count = int(np.prod(sizes))
    if count > 2000:
        return None
    if make.pick(0, 1):
        (flat,) = make.node("Flatten", [x], axis=1)
    else:
        (flat,) = make.node("Reshape", [x, make.constant([batch, -1] if make.pick(0, 1) else [0, count], np.int64)])
    if make.pick(0, 1):
        (flat,) = make.node("Relu", [flat])
    out = int(make.random.integers(1, 6))
    if make.pick(0, 1):
        return make.node("Gemm", [flat, make.normal(out, count), make.normal(out)], transB=1, alpha=0.5, beta=2.0)
    (product,) = make.node("MatMul", [flat, make.normal(count, out)])
    return make.node("Add", [product, make.normal(out)])


@any_step
def activation(make: Maker, x: str) -> list[str] | None:
    kind = make.pick("Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "Elu", "Tanh", "Clip", "Swish", "HardSwish", "Mish")
    if kind == "LeakyRelu":
        return make.node(kind, [x], alpha=make.pick(0.1, 0.2))
    if kind == "HardSigmoid":
        return make.node(kind, [x], **make.pick({}, {"alpha": 1 / 6}, {"alpha": 0.3, "beta": 0.4}))
    if kind == "Elu":
        return make.node(kind, [x], alpha=make.pick(1.0, 0.5))
    if kind == "Clip":
        low, high = make.pick((0.0, 6.0), (-1.0, 1.0), (0.0, 1.0), (0.2, 3.0))
        if make.version < 11:
            return make.node(kind, [x], min=low, max=high)
        return make.node(kind, [x, make.constant(low), make.constant(high)])
    if kind == "Swish":
        return make.node("Mul", [x, *make.node("Sigmoid", [x])])
    if kind == "HardSwish":
        if make.version >= 14 and make.pick(0, 1):
            return make.node(kind, [x])
        (total,) = make.node("Add", [x, make.constant(3.0)])
        if make.version < 11:
            (clipped,) = make.node("Clip", [total], min=0.0, max=6.0)
        else:
            (clipped,) = make.node("Clip", [total, make.constant(0.0), make.constant(6.0)])
        if make.pick(0, 1):
            return make.node("Div", [*make.node("Mul", [x, clipped]), make.constant(6.0)])
        return make.node("Mul", [x, *make.node("Div", [clipped, make.constant(6.0)])])
    if kind == "Mish":
        if make.version >= 18 and make.pick(0, 1):
            return make.node(kind, [x])
        return make.node("Mul", [x, *make.node("Tanh", make.node("Softplus", [x]))])
    return make.node(kind, [x])


@any_step
def with_constant(make: Maker, x: str) -> list[str] | None:
    shape = make.shapes[x]
    kind = make.pick("Add", "Sub", "Mul", "Div")
    forms: list[tuple[int, ...]] = [(), (1,)]
    if len(shape) == 4:
        forms += [(shape[1], 1, 1), (1, shape[1], 1, 1), shape[1:], (shape[3],), (shape[2], 1)]
    elif len(shape) >= 2:
        forms += [(shape[-1],), (1,) * (len(shape) - 1) + (shape[-1],)]
    form = make.pick(*forms)
    value = make.random.uniform(0.5, 1.5, form) * make.random.choice([-1, 1], form)
    operands = [x, make.constant(value)]
    first = kind != "Div" and make.pick(0, 0, 1)
    return make.node(kind, operands[::-1] if first else operands)


@any_step
def between(make: Maker, x: str) -> list[str] | None:
    shape = make.shapes[x]
    rows = {shape, (*shape[:2], *[1] * (len(shape) - 2)), (shape[0], 1, *shape[2:])} if len(shape) == 4 else {shape}
    others = [name for name, other in make.shapes.items() if other in rows]
    return make.node(make.pick("Add", "Sub", "Mul", "Max", "Min"), [x, make.pick(*others)])


@any_step
def joined(make: Maker, x: str) -> list[str] | None:
    shape = make.shapes[x]
    if len(shape) < 2 or len(shape) > 4:
        return None
    axis = int(make.random.integers(1, len(shape)))
    same = [name for name, other in make.shapes.items() if len(other) == len(shape)]
    fits = [name for name in same if all(make.shapes[name][i] == shape[i] for i in range(len(shape)) if i != axis)]
    others = [make.pick(*fits) for _ in range(make.pick(1, 2))]
    return make.node("Concat", [x, *others], axis=axis)


@any_step
def cut(make: Maker, x: str) -> list[str] | None:
    shape = make.shapes[x]
    axis = int(make.random.integers(1, len(shape))) if len(shape) > 1 else 0
    size = shape[axis]
    if not axis or size < 2:
        return None
    kind = make.pick("Slice", "Split", "Gather")
    if kind == "Split":
        first = int(make.random.integers(1, size))
        if make.version < 13:
            return make.node(kind, [x], 2, axis=axis, split=[first, size - first])
        return make.node(kind, [x, make.constant([first, size - first], np.int64)], 2, axis=axis)
    if kind == "Gather":
        indices = make.pick(int(make.random.integers(size)), make.random.integers(0, size, 2).tolist())
        return make.node(kind, [x, make.constant(indices, np.int64)], axis=axis)
    start, end = sorted(make.random.choice(size + 1, 2, replace=False).tolist())
    step = make.pick(1, 1, 2, size) if make.version >= 10 else 1
    if make.version >= 10:
        if make.pick(0, 0, 0, 1):
            start, end, step = -1, -(1 << 31), -1
        return make.node(kind, [x, *(make.constant([value], np.int64) for value in (start, end, axis, step))])
    return make.node(kind, [x], starts=[start], ends=[end], axes=[axis])


@any_step
def turned(make: Maker, x: str) -> list[str] | None:
    rank = len(make.shapes[x])
    if rank < 3:
        return None
    return make.node("Transpose", [x], perm=[0, *(1 + make.random.permutation(rank - 1)).tolist()])


@any_step
def reshaped(make: Maker, x: str) -> list[str] | None:
    batch, *sizes = make.shapes[x]
    if make.pick(0, 1) or len(sizes) < 2:
        axis = int(make.random.integers(1, len(sizes) + 2))
        if len(sizes) > 3:
            return None
        if make.version < 13:
            return make.node("Unsqueeze", [x], axes=[axis])
        return make.node("Unsqueeze", [x, make.constant([axis], np.int64)])
    at = int(make.random.integers(len(sizes) - 1))
    merged = [batch, *sizes[:at], sizes[at] * sizes[at + 1], *sizes[at + 2 :]]
    merged[at + 1] = make.pick(-1, merged[at + 1])
    return make.node("Reshape", [x, make.constant(merged, np.int64)])


@any_step
def soft(make: Maker, x: str) -> list[str] | None:
    shape = make.shapes[x]
    if len(shape) < 2:
        return None
    axis = int(make.random.integers(1, len(shape)))
    if make.version < 13 and np.prod(shape[axis + 1 :]) > 1:
        return None
    return make.node("Softmax", [x], axis=axis)


@any_step
def nothing(make: Maker, x: str) -> list[str] | None:
    kind = make.pick("Identity", "Dropout", "Cast")
    return make.node(kind, [x], to=1) if kind == "Cast" else make.node(kind, [x])


@any_step
def by_shape(make: Maker, x: str) -> list[str] | None:
    """A chain of Shape, Gather, Unsqueeze and Concat, as exporters write a Reshape of an open batch."""
    if len(make.shapes[x]) != 4:
        return None
    (shape,) = make.node("Shape", [x])
    (first,) = make.node("Gather", [shape, make.constant(0, np.int64)], axis=0)
    if make.version < 13:
        (first,) = make.node("Unsqueeze", [first], axes=[0])
    else:
        (first,) = make.node("Unsqueeze", [first, make.constant([0], np.int64)])
    rest = make.constant([make.shapes[x][1], -1], np.int64)
    (target,) = make.node("Concat", [first, rest], axis=0)
    return make.node("Reshape", [x, target])


@image_step
def pointwise(make: Maker, x: str) -> list[str] | None:
    """Functions of one number, those that need a positive one behind their own square."""
    kind = make.pick("Abs", "Neg", "Selu", "Softsign", "Pow", "Sqrt", "Reciprocal", "Exp")
    if kind == "Pow":
        return make.node("Pow", [x, make.constant(make.pick(2.0, 3.0))])
    if kind in ("Sqrt", "Reciprocal"):
        (square,) = make.node("Mul", [x, x])
        return make.node(kind, make.node("Add", [square, make.constant(0.5)]))
    if kind == "Exp":
        return make.node("Exp", make.node("Tanh", [x]))
    return make.node(kind, [x])


@any_step
def reduce_more(make: Maker, x: str) -> list[str] | None:
    kind = make.pick("ReduceSum", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")
    rank = len(make.shapes[x])
    if rank < 2:
        return None
    axes = [int(make.random.integers(1, rank))]
    if make.version >= (13 if kind == "ReduceSum" else 18):
        return make.node(kind, [x, make.constant(axes, np.int64)], keepdims=make.pick(0, 1))
    return make.node(kind, [x], axes=axes, keepdims=make.pick(0, 1))


@any_step
def repeated(make: Maker, x: str) -> list[str] | None:
    rank = len(make.shapes[x])
    if rank < 2 or np.prod(make.shapes[x]) > 2000:
        return None
    times = [1, *make.random.integers(1, 3, rank - 1).tolist()]
    return make.node("Tile", [x, make.constant(times, np.int64)])


@any_step
def normalized_row(make: Maker, x: str) -> list[str] | None:
    """A LayerNormalization, as one node or as exporters take it apart."""
    size = make.shapes[x][-1]
    if len(make.shapes[x]) < 2 or size < 2:
        return None
    scale, offset = make.normal(size), make.normal(size)
    if make.version >= 17 and make.pick(0, 1):
        return make.node("LayerNormalization", [x, scale, offset], axis=-1, epsilon=1e-3)
    if make.version >= 18:
        return None
    (mean,) = make.node("ReduceMean", [x], axes=[-1 if make.version >= 11 else len(make.shapes[x]) - 1])
    (centred,) = make.node("Sub", [x, mean])
    (square,) = make.node("Pow", [centred, make.constant(2.0)])
    (variance,) = make.node("ReduceMean", [square], axes=[-1 if make.version >= 11 else len(make.shapes[x]) - 1])
    (root,) = make.node("Sqrt", make.node("Add", [variance, make.constant(1e-3)]))
    (scaled,) = make.node("Mul", [*make.node("Div", [centred, root]), scale])
    return make.node("Add", [scaled, offset])


@any_step
def rows_of_a_product(make: Maker, x: str) -> list[str] | None:
    """A matrix product between two Reshapes, as CRNN has it."""
    shape = make.shapes[x]
    if len(shape) != 3:
        return None
    (rows,) = make.node("Reshape", [x, make.constant([-1, shape[-1]], np.int64)])
    out = int(make.random.integers(1, 5))
    (product,) = make.node("Gemm", [rows, make.normal(out, shape[-1]), make.normal(out)], transB=1)
    return make.node("Reshape", [product, make.constant([*shape[:-1], out], np.int64)])
