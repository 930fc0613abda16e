"""The shape and data type of an op's output, from its inputs and attributes.

Tensors are NHWC, convolution weights OHWI, depthwise weights (multiplier, H, W, I). Spatial attributes have the width
first: kernel and stride {w, h[, d]}, pad {left, right, top, bottom[, front, back]}.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, List

from xir.const import const_data
from xir.data_type import DataType
from xir.errors import XirError

if TYPE_CHECKING:
    from xir.op import Op

Shape = List[int]


def infer(op: Op) -> tuple[Shape, DataType]:
    """Return the output's shape and data type.

    Raises:
        XirError, IndexError, ValueError, TypeError or ZeroDivisionError: when inputs and attributes do not fit.
    """
    inputs = op._inputs.get("input")
    rule = _RULES.get(op.get_type())
    if rule is None or not inputs:
        return _declared(op)
    source = inputs[0]._output
    dtype = source._dtype
    if op.get_type() in _DATA_TYPES:
        dtype = _DATA_TYPES[op.get_type()](op)
    return rule(op, list(source._dims)), dtype


def _declared(op: Op) -> tuple[Shape, DataType]:
    """Sources and op types of the user's own tell shape and data type by attributes."""
    shape = op.get_attr("shape")
    if not isinstance(shape, list) or not all(isinstance(dim, int) and dim > 0 for dim in shape):
        raise XirError(f"attribute 'shape' must be positive integers, got {shape!r:.80}")
    return shape, DataType(str(op.get_attr("data_type")))


# --- pieces ---


def _same(op: Op, dims: Shape) -> Shape:
    return dims


def _broadcast(op: Op, dims: Shape) -> Shape:
    for tensor in op.get_input_tensors_by_name("input")[1:]:
        dims = _broadcast_two(dims, tensor.dims)
    return dims


def _broadcast_two(a: Shape, b: Shape) -> Shape:
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    padded = [1] * (len(long) - len(short)) + short
    if any(x != y and 1 not in (x, y) for x, y in zip(long, padded)):
        raise XirError(f"inputs of shapes {a} and {b} do not broadcast")
    return [y if x == 1 else x for x, y in zip(long, padded)]


def _window(op: Op, size: int, axis: int, mode: str) -> int:
    """Return the output size along one spatial axis (0 is width) of a sliding window."""
    kernel, stride = op.get_attr("kernel")[axis], op.get_attr("stride")[axis]
    dilation = op.get_attr("dilation")[axis] if op.has_attr("dilation") else 1
    pad = op.get_attr("pad") if op.has_attr("pad") else []
    size += sum(pad[2 * axis : 2 * axis + 2])
    reach = (kernel - 1) * dilation + 1
    if mode == "FLOOR":
        return (size - reach + stride) // stride
    if mode == "CEIL":
        return -(-(size - reach + stride) // stride)
    if mode == "SAME":
        return -(-size // stride)
    if mode == "VALID":
        return -(-(size - reach + 1) // stride)
    raise XirError(f"attribute 'pad_mode' must be FLOOR, CEIL, SAME or VALID, got '{mode}'")


def _spread(op: Op, size: int, axis: int, mode: str) -> int:
    """Return the output size along one spatial axis (0 is width) of a transposed window."""
    kernel, stride = op.get_attr("kernel")[axis], op.get_attr("stride")[axis]
    if mode == "SAME":
        return int(size * stride)
    if mode == "VALID":
        return int((size - 1) * stride + kernel)
    if mode not in ("FLOOR", "CEIL"):
        raise XirError(f"attribute 'pad_mode' must be FLOOR, CEIL, SAME or VALID, got '{mode}'")
    pad = op.get_attr("pad")[2 * axis : 2 * axis + 2]
    return int((size - 1) * stride + op.get_attr("dilation")[axis] * (kernel - 1) + 1 - sum(pad))


def _spatial(op: Op, dims: Shape, size: Callable[[Op, int, int, str], int], mode: str) -> Shape:
    """Apply `size` to H, W (and D), which attributes count as axes 1, 0 (and 2), or to the one axis of 1-D ops."""
    if not 3 <= len(dims) <= 5:
        raise XirError(f"the input must have 1 to 3 axes between batch and channels, got the shape {dims}")
    axes = {1: [0], 2: [1, 0], 3: [1, 0, 2]}[len(dims) - 2]
    return [size(op, dim, axis, mode) for dim, axis in zip(dims[1:-1], axes)]


def _mode(op: Op) -> str:
    return "FLOOR" if op.get_type().endswith("-fix") else str(op.get_attr("pad_mode"))


# --- convolution and pooling ---


def _conv(op: Op, dims: Shape) -> Shape:
    weights = _weights(op, dims)
    group = op.get_attr("group") if op.has_attr("group") else 1
    if weights[-1] * group != dims[-1] or weights[0] % group:
        raise XirError(f"weights {weights} do not fit an input of shape {dims} with group {group}")
    return [dims[0], *_spatial(op, dims, _window, _mode(op)), weights[0]]


def _depthwise(op: Op, dims: Shape) -> Shape:
    weights = _weights(op, dims)
    if weights[-1] != dims[-1]:
        raise XirError(f"weights {weights} do not fit the {dims[-1]} channels of the input")
    return [dims[0], *_spatial(op, dims, _window, _mode(op)), weights[0] * weights[-1]]


def _transposed(op: Op, dims: Shape) -> Shape:
    return [dims[0], *_spatial(op, dims, _spread, _mode(op)), _weights(op, dims)[0]]


def _transposed_depthwise(op: Op, dims: Shape) -> Shape:
    weights = _weights(op, dims)
    return [dims[0], *_spatial(op, dims, _spread, _mode(op)), weights[0] * weights[-1]]


def _weights(op: Op, dims: Shape) -> Shape:
    weights = op.get_input_tensor("weights").dims
    if len(weights) != len(dims):
        raise XirError(f"weights {weights} must have as many dimensions as the input {dims}")
    return weights


def _pool(op: Op, dims: Shape) -> Shape:
    if op.has_attr("global") and op.get_attr("global"):
        return [dims[0], *[1] * (len(dims) - 2), dims[-1]]
    return [dims[0], *_spatial(op, dims, _window, _mode(op)), dims[-1]]


# --- dense ---


def _matmul(op: Op, dims: Shape) -> Shape:
    inputs = [tensor.dims for tensor in op.get_input_tensors_by_name("input")]
    if len(inputs) != 2 or min(map(len, inputs)) < 2:
        raise XirError(f"matmul takes two inputs of two or more dimensions, got {inputs}")
    a, b = inputs
    if op.get_attr("transpose_a"):
        a[-2:] = a[:-3:-1]
    if op.get_attr("transpose_b"):
        b[-2:] = b[:-3:-1]
    if a[-1] != b[-2]:
        raise XirError(f"inputs {inputs} do not multiply")
    for bias in op.get_input_tensors_by_name("bias"):
        if bias.dims != [b[-1]]:
            raise XirError(f"a bias of shape {bias.dims} does not fit an output of {b[-1]} columns")
    return [*_broadcast_two(a[:-2], b[:-2]), a[-2], b[-1]]


def _inner_product(op: Op, dims: Shape) -> Shape:
    axis = op.get_attr("axis")
    length = math.prod(dims[axis:])
    count, rest = divmod(op.get_input_tensor("weights").get_element_num(), length)
    if rest:
        raise XirError(f"weights {op.get_input_tensor('weights').dims} do not fit an input of shape {dims}")
    return [*dims[:axis], count]


# --- moving data ---


def _concat(op: Op, dims: Shape) -> Shape:
    axis = _axis(op.get_attr("axis"), len(dims))
    shapes = [tensor.dims for tensor in op.get_input_tensors_by_name("input")]
    others = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    if any(len(shape) != len(dims) for shape in shapes) or others.count(others[0]) != len(others):
        raise XirError(f"inputs {shapes} differ in more than axis {axis}")
    dims[axis] = sum(shape[axis] for shape in shapes)
    return dims


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise XirError(f"axis {axis} is outside the {ndim} dimensions of the input")
    return axis % ndim


def _stack(op: Op, dims: Shape) -> Shape:
    axis = _axis(op.get_attr("axis"), len(dims) + 1)
    return [*dims[:axis], len(op.get_input_ops_by_name("input")), *dims[axis:]]


def _reshape(op: Op, dims: Shape) -> Shape:
    new = _constant_input(op, "shape") or op.get_attr("shape")
    new = [dims[index] if dim == 0 else dim for index, dim in enumerate(new)]
    total = math.prod(dims)
    if new.count(-1) == 1:
        known = -math.prod(new)
        new[new.index(-1)] = total // known if known else 0
    if math.prod(new) != total:
        raise XirError(f"an input of shape {dims} does not reshape to {new}")
    return new


def _constant_input(op: Op, name: str) -> Shape | None:
    """Return the numbers of a const op that is connected as argument `name`."""
    sources = op.get_input_ops_by_name(name)
    if not sources:
        return None
    return [int(number) for number in const_data(sources[0]).ravel()]


def _flatten(op: Op, dims: Shape) -> Shape:
    start, end = (_axis(op.get_attr(name), len(dims)) for name in ("start_axis", "end_axis"))
    return [*dims[:start], math.prod(dims[start : end + 1]), *dims[end + 1 :]]


def _squeeze(op: Op, dims: Shape) -> Shape:
    axes = [_axis(axis, len(dims)) for axis in op.get_attr("axis")]
    axes = axes or [axis for axis, dim in enumerate(dims) if dim == 1]
    return [dim for axis, dim in enumerate(dims) if axis not in axes]


def _transpose(op: Op, dims: Shape) -> Shape:
    order = op.get_attr("order")
    if sorted(order) != list(range(len(dims))):
        raise XirError(f"attribute 'order' must be an order of {len(dims)} axes, got {order}")
    return [dims[axis] for axis in order]


def _pad(op: Op, dims: Shape) -> Shape:
    paddings = op.get_attr("paddings")
    if len(paddings) != 2 * len(dims):
        raise XirError(f"attribute 'paddings' must hold {2 * len(dims)} numbers, got {len(paddings)}")
    return [dim + paddings[2 * axis] + paddings[2 * axis + 1] for axis, dim in enumerate(dims)]


def _resize(op: Op, dims: Shape) -> Shape:
    wanted = _constant_input(op, "size")
    if wanted:
        return wanted if len(wanted) == len(dims) else [dims[0], *wanted, dims[-1]]
    scale = op.get_attr("scale")
    if len(scale) != len(dims) - 2 or min(scale) <= 0:
        raise XirError(f"attribute 'scale' must be {len(dims) - 2} positive numbers, width first, got {scale}")
    down = op.get_type() == "downsample-fix"

    def size_of(_: Op, size: int, axis: int, mode: str) -> int:
        return math.ceil(size / scale[axis]) if down else int(size * scale[axis])

    return [dims[0], *_spatial(op, dims, size_of, ""), dims[-1]]


def _strided_slice(op: Op, dims: Shape) -> Shape:
    begins, ends, strides = op.get_attr("begin"), op.get_attr("end"), op.get_attr("strides")
    if not len(begins) == len(ends) == len(strides) == len(dims):
        raise XirError(f"attributes 'begin', 'end' and 'strides' need {len(dims)} numbers each, one an axis")
    parts = zip(begins, ends, strides, dims)
    return [len(range(*slice(begin, end, step).indices(dim))) for begin, end, step, dim in parts] or [1]


def _blocks(flag: str, factor: str) -> Callable[[Any, Shape], Shape]:
    """Return the rule of an op that moves blocks of pixels to channels, or back when attribute `flag` is set."""

    def rule(op: Op, dims: Shape) -> Shape:
        n, h, w, c = dims
        block, to_space = op.get_attr(factor), op.get_attr(flag)
        if (to_space and c % block**2) or (not to_space and (h % block or w % block)):
            raise XirError(f"an input of shape {dims} has no whole blocks of {block}")
        if to_space:
            return [n, h * block, w * block, c // block**2]
        return [n, h // block, w // block, c * block**2]

    return rule


# --- reductions and the rest ---


def _reduction(op: Op, dims: Shape) -> Shape:
    axes = {_axis(axis, len(dims)) for axis in op.get_attr("axis")}
    keep = op.get_attr("keep_dims")
    return [1 if axis in axes else dim for axis, dim in enumerate(dims) if keep or axis not in axes]


def _argmax(op: Op, dims: Shape) -> Shape:
    dims[_axis(op.get_attr("axis"), len(dims))] = 1
    return dims


def _priorbox(op: Op, dims: Shape) -> Shape:
    ratios = [1.0]
    for ratio in op.get_attr("aspect_ratio"):
        if all(abs(ratio - other) >= 1e-6 for other in ratios):
            ratios += [ratio, 1 / ratio] if op.get_attr("flip") else [ratio]
    priors = len(ratios) * len(op.get_attr("min_sizes")) + len(op.get_attr("max_sizes"))
    return [1, 2, dims[1] * dims[2] * priors * 4]


def _correlation(op: Op, dims: Shape) -> Shape:
    pad = op.get_attr("pad_size")
    depth = (2 * pad + 1) ** 2 if op.get_type().startswith("correlation2d") else pad + 1
    return [*dims[:3], depth, dims[3]]


def _cost_volume(op: Op, dims: Shape) -> Shape:
    return [*dims[:3], op.get_attr("maxdisp") // 4, 2 * dims[3]]


def _shape(op: Op, dims: Shape) -> Shape:
    return [len(dims)]


_UNCHANGED = (
    "batchnorm cast celu download elu exp fix fix2float float2fix gelu groupnorm hard-sigmoid hard-sigmoid-fix "
    "hard-softmax hard-swish hard-tanh identity instancenorm l2_normalize leaky-relu mish neg placeholder prelu relu "
    "relu6 scale selu sigmoid softmax swish tanh threshold upload"
)
_RULES: dict[str, Callable[[Any, Shape], Shape]] = {
    **dict.fromkeys(_UNCHANGED.split(), _same),
    **dict.fromkeys(["add", "sub", "mul", "div", "min", "max", "eltwise-fix", "depthwise-fix"], _broadcast),
    **{f"conv{n}d{fix}": _conv for n in (1, 2, 3) for fix in ("", "-fix")},
    **{f"depthwise-conv{n}d{fix}": _depthwise for n in (2, 3) for fix in ("", "-fix")},
    **{f"transposed-conv{n}d{fix}": _transposed for n in (2, 3) for fix in ("", "-fix")},
    **{f"transposed-depthwise-conv{n}d{fix}": _transposed_depthwise for n in (2, 3) for fix in ("", "-fix")},
    **dict.fromkeys(["avgpool2d", "maxpool2d", "maxpool1d", "pool-fix"], _pool),
    "matmul": _matmul,
    "inner-product": _inner_product,
    **dict.fromkeys(("concat", "concat-fix"), _concat),
    "stack": _stack,
    **dict.fromkeys(("reshape", "reshape-fix"), _reshape),
    "flatten": _flatten,
    "squeeze": _squeeze,
    "transpose": _transpose,
    **dict.fromkeys(("pad", "pad-fix"), _pad),
    **dict.fromkeys(("resize", "upsample-fix", "downsample-fix"), _resize),
    **dict.fromkeys(("strided_slice", "strided_slice-fix"), _strided_slice),
    **dict.fromkeys(("reorg", "reorg-fix"), _blocks("reverse", "scale")),
    **dict.fromkeys(("gstiling", "tile-fix"), _blocks("reverse", "stride")),
    "pixel-shuffle": _blocks("upscale", "scale"),
    "pixel-shuffle-fix": _blocks("reverse", "scale"),
    **{f"reduction_{kind}": _reduction for kind in ("mean", "sum", "max", "product", "max-fix")},
    **dict.fromkeys(("argmax", "argmax-fix"), _argmax),
    "priorbox": _priorbox,
    **{f"correlation{n}d_elemwise{fix}": _correlation for n in (1, 2) for fix in ("", "-fix")},
    **dict.fromkeys(("cost_volume", "cost_volume-fix"), _cost_volume),
    "shape": _shape,
}
_DATA_TYPES: dict[str, Callable[[Any], DataType]] = {
    "float2fix": lambda op: DataType(
        DataType.XINT if op.get_attr("if_signed") else DataType.XUINT, op.get_attr("bit_width")
    ),
    "fix2float": lambda op: DataType(DataType.FLOAT, 32),
    "cast": lambda op: DataType(op.get_attr("data_type")),
}
