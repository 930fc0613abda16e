"""TensorFlow functions called on Keras tensors (TFOpLambda, SlicingOpLambda) in the front end's graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.layers.activation import activation_function
from softdpu.compiler.layers.arithmetic import elementwise
from softdpu.compiler.layers.common import image
from softdpu.compiler.layers.image import concatenate_to, reshape_to, transpose_to
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import layer as layer_kind

Function = Callable[[Builder, Layer, str, list[Op], dict[str, Any]], Op]


@layer_kind("TFOpLambda")
def tf_function(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A TensorFlow function."""
    function = str(layer.config.get("function"))
    make = FUNCTIONS.get(function)
    if make is None:
        known = ", ".join(sorted(FUNCTIONS))
        raise build.error(layer, f"unknown function tf.{function}: known are {known}; or write a custom layer")
    return make(build, layer, name, sources, call.arguments)


def _arithmetic(kind: str) -> Function:
    def make(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
        operands = list(sources)
        for key in ("x", "y"):
            if key in arguments:
                const = build.add_constant(layer, f"{name}_const", arguments[key])
                operands = [*operands, const] if key == "y" else [const, *operands]
        return elementwise(build, layer, name, kind, operands)

    return make


def _activation(function: str) -> Function:
    def make(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
        op = activation_function(build, layer, name, sources[0], function)
        for key in {"alpha", "axis"} & set(arguments) & set(op.attrs):
            op.attrs[key] = type(op.attrs[key])(arguments[key])
        return op

    return make


def _unary(kind: str) -> Function:
    def make(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
        return build.add(layer, name, kind, {"input": sources}, {}, sources[0].shape)

    return make


def _reduction(kind: str) -> Function:
    def make(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
        shape = sources[0].shape
        axes = arguments.get("axis", list(range(len(shape))))
        axes = sorted({int(axis) % len(shape) for axis in ([axes] if isinstance(axes, int) else axes)})
        if 0 in axes:
            raise build.error(layer, "reduces over the images of a batch, which are computed one by one: keep axis 0")
        keep = bool(arguments.get("keepdims", False))
        sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
        left = tuple(size for axis, size in enumerate(sizes) if keep or axis not in axes)
        return build.add(layer, name, kind, {"input": sources}, {"axis": axes, "keep_dims": keep}, left)

    return make


def _matmul(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
    turns = [bool(arguments.get(f"transpose_{side}")) for side in "ab"]
    first, second = (_swap_last(op.shape, turn) for op, turn in zip(sources, turns, strict=True))
    marks = {"transpose_a": turns[0], "transpose_b": turns[1]}
    return build.add(layer, name, "matmul", {"input": sources}, marks, (*first[:-1], second[-1]))


def _swap_last(shape: tuple[int, ...], swap: bool) -> tuple[int, ...]:
    return (*shape[:-2], shape[-1], shape[-2]) if swap else shape


def _reshape(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
    first, *sizes = (int(size) for size in arguments["shape"])
    if first not in (-1, 1):
        raise build.error(layer, f"reshapes across the images of a batch to {arguments['shape']}: keep axis 0")
    if first == -1 and -1 in sizes:
        raise build.error(layer, f"more than one -1 in the shape {arguments['shape']}")
    return reshape_to(build, layer, name, sources[0], sizes)


def _transpose(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
    order = [int(axis) for axis in arguments.get("perm") or reversed(range(len(sources[0].shape)))]
    if order[0] != 0:
        raise build.error(layer, f"moves the images of a batch to another axis ({order}): keep axis 0")
    return transpose_to(build, layer, name, sources[0], order)


def _blocks(to_space: bool) -> Function:
    def make(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
        step, (_, height, width, channels) = int(arguments["block_size"]), image(build, layer, sources[0].shape)
        if arguments.get("data_format", "NHWC") != "NHWC":
            raise build.error(layer, "only the data format NHWC is supported: build the model with channels last")
        if (channels % step**2) if to_space else (height % step or width % step):
            raise build.error(layer, f"blocks of {step} x {step} do not fit the shape {sources[0].shape}")
        if to_space:
            cut = [height, width, step, step, channels // step**2]
            made = [height * step, width * step, channels // step**2]
        else:
            cut = [height // step, step, width // step, step, channels]
            made = [height // step, width // step, channels * step**2]
        op = reshape_to(build, layer, f"{name}_cut", sources[0], cut)
        op = transpose_to(build, layer, f"{name}_moved", op, [0, 1, 3, 2, 4, 5])
        return reshape_to(build, layer, name, op, made)

    return make


def _concat(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
    return concatenate_to(build, layer, name, sources, int(arguments.get("axis", 0)))


def _resize(how: str) -> Function:
    """Return a bilinear resize whose pixels lie as `how` says, or as the call does with align_corners."""

    def make(build: Builder, layer: Layer, name: str, sources: list[Op], arguments: dict[str, Any]) -> Op:
        known = {"size", "align_corners", "half_pixel_centers", "method", "antialias", "preserve_aspect_ratio"}
        given = {key: value for key, value in arguments.items() if value not in (None, False)}
        if set(given) - known or given.get("method", "bilinear") != "bilinear" or len(sources[0].shape) != 4:
            raise build.error(layer, f"resizes {sources[0].shape} by {arguments}: only plain bilinear ones are known")
        if given.keys() & {"antialias", "preserve_aspect_ratio"}:
            raise build.error(layer, f"resizes by {arguments}: leave antialias and preserve_aspect_ratio out")
        height, width = (int(size) for size in arguments["size"])
        batch, rows, columns, channels = sources[0].shape
        attrs = {
            "scale": [width / columns, height / rows],
            "mode": "BILINEAR",
            "align_corners": bool(arguments.get("align_corners")),
            "half_pixel_centers": how == "half" or bool(arguments.get("half_pixel_centers")),
        }
        return build.add(layer, name, "resize", {"input": sources}, attrs, (batch, height, width, channels))

    return make


@layer_kind("SlicingOpLambda")
def slicing(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Indexing of a Keras tensor, such as x[..., :4]: slices with positive steps."""
    shape = sources[0].shape
    spec = list(call.arguments.get("slice_spec") or [])
    whole: list[dict[str, Any]] = [{}] * len(shape)
    dots = next((at for at, part in enumerate(spec) if part == {"class_name": "__ellipsis__"}), None)
    before, after = (spec, []) if dots is None else (spec[:dots], spec[dots + 1 :])
    parts = [*before, *whole[len(before) + len(after) :], *after]
    if len(parts) != len(shape) or not all(isinstance(part, dict) for part in parts):
        raise build.error(layer, "indexing with numbers or new axes is not supported: use slices, then Reshape")
    cuts = [slice(part.get("start"), part.get("stop"), part.get("step")) for part in parts]
    ranges = [range(size)[cut] for size, cut in zip(shape, cuts, strict=True)]
    if cuts[0] != slice(None) or any(r.step < 1 or not r for r in ranges):
        raise build.error(layer, f"cuts {spec} of the shape {shape}: keep axis 0, use positive steps, leave something")
    attrs = {
        "begin": [r.start for r in ranges],
        "end": [r.stop for r in ranges],
        "strides": [r.step for r in ranges],
    }
    return build.add(layer, name, "strided_slice", {"input": sources}, attrs, tuple(len(r) for r in ranges))


FUNCTIONS: dict[str, Function] = {
    **dict.fromkeys(("math.add", "__operators__.add"), _arithmetic("add")),
    **dict.fromkeys(("math.subtract", "__operators__.sub"), _arithmetic("sub")),
    **dict.fromkeys(("math.multiply", "__operators__.mul"), _arithmetic("mul")),
    **dict.fromkeys(("math.truediv", "math.divide", "__operators__.truediv"), _arithmetic("div")),
    "math.maximum": _arithmetic("max"),
    "math.minimum": _arithmetic("min"),
    **dict.fromkeys(("math.sigmoid", "nn.sigmoid"), _activation("sigmoid")),
    **dict.fromkeys(("math.tanh", "nn.tanh"), _activation("tanh")),
    **dict.fromkeys(("nn.silu", "nn.swish"), _activation("swish")),
    **{f"nn.{kind}": _activation(kind) for kind in ("relu", "relu6", "leaky_relu", "softmax", "elu", "gelu")},
    **{f"math.reduce_{kind}": _reduction(f"reduction_{kind}") for kind in ("mean", "sum", "max")},
    "linalg.matmul": _matmul,
    "reshape": _reshape,
    **dict.fromkeys(("transpose", "compat.v1.transpose"), _transpose),
    "concat": _concat,
    "image.resize": _resize("half"),
    "compat.v1.image.resize_bilinear": _resize("corner"),
    **{f"math.{kind}": _unary(kind) for kind in ("exp", "sqrt")},
    "math.negative": _unary("neg"),
    "nn.depth_to_space": _blocks(True),
    "nn.space_to_depth": _blocks(False),
}
