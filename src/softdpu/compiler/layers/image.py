"""Layers that pool, resize, pad, join or reshape images in the front end's graph."""

from __future__ import annotations

import math

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.layers.common import image, pair, scale, window
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import layer as layer_kind
from softdpu.numbers import fixed_point

_PLAIN_MEAN = {"count_include_pad": False, "count_include_invalid": True}


@layer_kind("MaxPooling2D")
def max_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """MaxPooling2D."""
    attrs, size = window(build, layer, sources[0].shape, pair(layer.config["pool_size"]))
    del attrs["dilation"]
    attrs["global"] = False
    shape = (*size, sources[0].shape[-1])
    return build.quantize_output(layer, build.add(layer, name, "maxpool2d", {"input": sources}, attrs, shape))


@layer_kind("AveragePooling2D", "VitisAveragePooling2D")
def average_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """AveragePooling2D times the DPU's factor."""
    size_of_window = pair(layer.config["pool_size"])
    attrs, size = window(build, layer, sources[0].shape, size_of_window)
    del attrs["dilation"]
    attrs |= {"global": False, **_PLAIN_MEAN}
    op = build.add(layer, name, "avgpool2d", {"input": sources}, attrs, (*size, sources[0].shape[-1]))
    if layer.wrapper != "QuantizeWrapper":  # the plain Keras layer is the true mean
        return op
    factor = fixed_point.rescale_factor(*size_of_window, is_global=op.shape[1:3] == (1, 1))
    return build.quantize_output(layer, op, scale(build, layer, op, factor))


@layer_kind("GlobalMaxPooling2D")
def global_max_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """GlobalMaxPooling2D; the result keeps its 1 x 1 extent."""
    return build.quantize_output(layer, _pool_all(build, layer, name, "maxpool2d", sources, {}))


def _pool_all(build: Builder, layer: Layer, name: str, kind: str, sources: list[Op], more: dict[str, bool]) -> Op:
    batch, height, width, channels = image(build, layer, sources[0].shape)
    attrs = {"kernel": [width, height], "stride": [1, 1], "pad_mode": "FLOOR", "pad": [0, 0, 0, 0], "global": True}
    op = build.add(layer, name, kind, {"input": sources}, attrs | more, (batch, 1, 1, channels))
    return op if layer.config.get("keepdims") else build.mark_vector(op)


@layer_kind("Cropping2D")
def cropping(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Cropping2D."""
    batch, height, width, channels = image(build, layer, sources[0].shape)
    (top, bottom), (left, right) = layer.config["cropping"]
    shape = (batch, height - top - bottom, width - left - right, channels)
    if min(shape) < 1:
        raise build.error(layer, f"cuts all of an image of {height} x {width}")
    end = [batch, height - bottom, width - right, channels]
    attrs = {"begin": [0, top, left, 0], "end": end, "strides": [1, 1, 1, 1]}
    return build.add(layer, name, "strided_slice", {"input": sources}, attrs, shape)


@layer_kind("GlobalAveragePooling2D", "VitisGlobalAveragePooling2D")
def global_average_pooling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """GlobalAveragePooling2D times the DPU's factor; the result keeps its 1 x 1 extent."""
    op = _pool_all(build, layer, name, "avgpool2d", sources, _PLAIN_MEAN)
    if layer.wrapper != "QuantizeWrapper":
        return op
    factor = fixed_point.rescale_factor(sources[0].shape[1], sources[0].shape[2], is_global=True)
    return build.quantize_output(layer, op, scale(build, layer, op, factor))


@layer_kind("ZeroPadding2D")
def zero_padding(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """ZeroPadding2D."""
    batch, height, width, channels = image(build, layer, sources[0].shape)
    (top, bottom), (left, right) = layer.config["padding"]
    attrs = {
        "paddings": [0, 0, top, bottom, left, right, 0, 0],
        "mode": "CONSTANT",
        "constant_values": [0.0, 0.0, 0.0, 0.0],
    }
    shape = (batch, height + top + bottom, width + left + right, channels)
    return build.add(layer, name, "pad", {"input": sources}, attrs, shape)


@layer_kind("UpSampling2D")
def up_sampling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """UpSampling2D."""
    batch, height, width, channels = image(build, layer, sources[0].shape)
    down, across = pair(layer.config["size"])
    attrs = {
        "scale": [float(across), float(down)],
        "mode": str(layer.config.get("interpolation", "nearest")).upper(),
        "align_corners": False,
        "half_pixel_centers": True,
    }
    shape = (batch, height * down, width * across, channels)
    return build.quantize_output(layer, build.add(layer, name, "resize", {"input": sources}, attrs, shape))


@layer_kind("Flatten")
def flatten(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Flatten all but the batch."""
    shape = (sources[0].shape[0], math.prod(sources[0].shape[1:]))
    attrs = {"start_axis": 1, "end_axis": len(sources[0].shape) - 1}
    return build.add(layer, name, "flatten", {"input": sources}, attrs, shape)


@layer_kind("Reshape")
def reshape(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Reshape all but the batch."""
    return reshape_to(build, layer, name, sources[0], [int(size) for size in layer.config["target_shape"]])


def reshape_to(build: Builder, layer: Layer, name: str, source: Op, target: list[int]) -> Op:
    """Append a reshape of all but the batch to `target`; one -1 is worked out."""
    count, wanted = math.prod(source.shape[1:]), list(target)
    known = math.prod(size for size in target if size != -1)
    if target.count(-1) == 1 and known and count % known == 0:
        target[target.index(-1)] = count // known
    if math.prod(target) != count:
        raise build.error(layer, f"{count} values do not fit the shape {wanted}")
    shape = (source.shape[0], *target)
    return build.add(layer, name, "reshape", {"input": [source]}, {"shape": list(shape)}, shape)


@layer_kind("Permute")
def permute(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Permute."""
    return transpose_to(build, layer, name, sources[0], [0, *(int(axis) for axis in layer.config["dims"])])


def transpose_to(build: Builder, layer: Layer, name: str, source: Op, order: list[int]) -> Op:
    """Append a transpose to `order`, the batch first."""
    if sorted(order) != list(range(len(source.shape))):
        raise build.error(layer, f"orders the axes as {order}, the input has the shape {source.shape}")
    shape = tuple(source.shape[axis] for axis in order)
    return build.add(layer, name, "transpose", {"input": [source]}, {"order": order}, shape)


@layer_kind("Concatenate")
def concatenate(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Concatenate."""
    return build.quantize_output(layer, concatenate_to(build, layer, name, sources, int(layer.config.get("axis", -1))))


def concatenate_to(build: Builder, layer: Layer, name: str, sources: list[Op], axis: int) -> Op:
    """Append a concat of `sources` along `axis`, counted as Keras counts it."""
    sources = build.flatten_vectors(layer, name, sources)
    rank = len(sources[0].shape)
    axis = rank - 1 if all(build.is_vector(op) for op in sources) else axis % rank
    others = {op.shape[:axis] + op.shape[axis + 1 :] for op in sources}
    if len(others) > 1 or any(len(op.shape) != rank for op in sources):
        raise build.error(layer, f"inputs of shapes {', '.join(str(op.shape) for op in sources)} do not fit")
    shape = list(sources[0].shape)
    shape[axis] = sum(op.shape[axis] for op in sources)
    return build.add(layer, name, "concat", {"input": list(sources)}, {"axis": axis}, tuple(shape))
