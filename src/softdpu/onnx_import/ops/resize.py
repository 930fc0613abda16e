"""Resize and Upsample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.ops.picking import pick
from softdpu.onnx_import.ops.shared import image_value
from softdpu.onnx_import.registry import BOTH, Refused, operation
from softdpu.onnx_import.value import Value

_TIE = 1e-6  # so near to the middle of two pixels onnxruntime takes both as equally near
_MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear"}


@operation("Resize", "Upsample", runs=BOTH)
def resize(build: Lowering, node: Node) -> Value:
    """UpSampling2D by whole numbers, a function of TensorFlow where it agrees, else a weighted sum of picked rows."""
    value = build.image(node)
    mode = _MODES.get(node.attrs.get("mode", "nearest"))
    if mode is None:
        raise Refused(f"has mode {node.attrs.get('mode')}; nearest and linear are known")
    if node.attrs.get("antialias") or node.attrs.get("exclude_outside"):
        raise Refused("has antialias or exclude_outside")
    out = build.shape(node)
    if out[:2] != value.shape[:2]:
        raise Refused("resizes channels")
    how = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    if node.op == "Upsample" or node.version < 11:
        how = "asymmetric"
    if how == "tf_crop_and_resize":
        raise Refused("has coordinate_transformation_mode tf_crop_and_resize")
    scales = _scales(build, node, value, out)
    # Of two pixels equally near it takes the one that onnxruntime's float32 does.
    kind = np.float32 if mode == "nearest" else np.float64
    places = [_places(how, value.shape[2 + axis], out[2 + axis], kind(scales[axis])) for axis in (0, 1)]
    if out == value.shape:
        return value
    whole = [out[2 + axis] // value.shape[2 + axis] for axis in (0, 1)]
    repeats = all(out[2 + axis] == value.shape[2 + axis] * whole[axis] for axis in (0, 1))
    sizes = (value.shape[2], value.shape[3])
    if mode == "nearest":
        rounding = node.attrs.get("nearest_mode", "round_prefer_floor" if node.version >= 11 else "floor")
        rounding = "floor" if node.op == "Upsample" or node.version < 11 else rounding
        picked = [np.clip(_round(places[axis], rounding), 0, sizes[axis] - 1).astype(int) for axis in (0, 1)]
        if repeats and all((picked[axis] == np.arange(out[2 + axis]) // whole[axis]).all() for axis in (0, 1)):
            return _up_sampling(build, node, value, whole, "nearest")
        tensor = value.tensor
        for axis in (0, 1):
            tensor = pick(build, node, tensor, picked[axis].tolist(), axis + 1, "" if axis else "rows")
        return image_value(build, node, tensor, value.not_negative)
    if repeats and all(_is_same(places[axis], _half_pixel(sizes[axis], out[2 + axis]), sizes[axis]) for axis in (0, 1)):
        return _up_sampling(build, node, value, whole, "bilinear")
    return _linear(build, node, value, places)


def _up_sampling(build: Lowering, node: Node, value: Value, size: list[int], interpolation: str) -> Value:
    tensor = build.layer(node, "UpSampling2D", value.tensor, size=tuple(size), interpolation=interpolation)
    return image_value(build, node, tensor, value.not_negative)


def _scales(build: Lowering, node: Node, value: Value, out: tuple[int, ...]) -> list[float]:
    """Return how much larger rows and columns become, as the file says, or else as the sizes do."""
    given = node.attrs.get("scales")
    if given is None:
        index = 1 if node.op == "Upsample" or node.version < 11 else 2
        found = build.constant(node, index)
        given = found.tolist() if found is not None and found.size else None
    by_size = [out[axis] / value.shape[axis] for axis in (2, 3)]
    if given is None:
        return by_size
    axes = [axis % 4 for axis in node.attrs.get("axes", range(4))]
    factors = dict(zip(axes, (float(np.float32(number)) for number in given), strict=False))
    return [factors.get(axis, 1.0) for axis in (2, 3)]


def _places(how: str, size: int, out: int, scale: np.floating) -> np.ndarray:
    """Return where in the input each output pixel lies, computed in the type of `scale`."""
    x = np.arange(out, dtype=scale.dtype)
    if how == "align_corners":
        return x * (size - 1) / (out - 1) if out > 1 else np.zeros(out)
    if how == "asymmetric":
        return x / scale
    if how == "pytorch_half_pixel" and out == 1:
        return np.zeros(out)
    if how == "half_pixel_symmetric":
        adjustment = out / (scale * size)
        return size / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    if how in ("half_pixel", "pytorch_half_pixel"):
        return (x + 0.5) / scale - 0.5
    if how == "tf_half_pixel_for_nn":
        return (x + 0.5) / scale
    raise Refused(f"has coordinate_transformation_mode {how}")


def _half_pixel(size: int, out: int) -> np.ndarray:
    return (np.arange(out) + 0.5) * size / out - 0.5


def _is_same(one: np.ndarray, other: np.ndarray, size: int) -> bool:
    """Tell whether two sets of places read the same pixels in the same parts; outside the border is on it."""
    return bool(np.allclose(np.clip(one, 0, size - 1), np.clip(other, 0, size - 1), atol=1e-6))


def _round(places: np.ndarray, mode: str) -> np.ndarray:
    places = places.astype(np.float64)
    if mode == "floor":
        return np.floor(places)
    if mode == "ceil":
        return np.ceil(places)
    if mode == "round_prefer_ceil":
        return np.floor(places + 0.5 + _TIE)
    return np.ceil(places - 0.5 - _TIE)


def _linear(build: Lowering, node: Node, value: Value, places: list[np.ndarray]) -> Value:
    tensor = value.tensor
    sizes, out = (value.shape[2], value.shape[3]), tuple(len(place) for place in places)
    choices: tuple[dict[str, Any], ...] = ({"align_corners": True}, {"half_pixel_centers": True}, {})
    for options in choices:
        if all(
            _is_same(places[axis], _places_of_tensorflow(sizes[axis], out[axis], options), sizes[axis])
            for axis in (0, 1)
        ):
            function = tf.compat.v1.image.resize_bilinear
            if "half_pixel_centers" in options:
                function, options = tf.image.resize, {}
            tensor = build.function(node, function, tensor, size=list(out), **options)
            return image_value(build, node, tensor, value.not_negative)
    for axis in (0, 1):
        tensor = _blend(build, node, tensor, axis, np.clip(places[axis], 0, sizes[axis] - 1))
    return image_value(build, node, tensor, value.not_negative)


def _places_of_tensorflow(size: int, out: int, options: dict[str, bool]) -> np.ndarray:
    if "align_corners" in options:
        return np.arange(out) * ((size - 1) / (out - 1) if out > 1 else size / out)
    return _half_pixel(size, out) if options else np.arange(out) * size / out


def _blend(build: Lowering, node: Node, tensor: Any, axis: int, places: np.ndarray) -> Any:
    """Return the weighted sum of the two nearest rows (axis 0) or columns (axis 1) for each place."""
    low = np.floor(places).astype(int)
    high = np.minimum(low + 1, math.ceil(places.max()) if len(places) else 0)
    part = (places - low).astype(np.float32)
    shape = (1, -1, 1, 1) if axis == 0 else (1, 1, -1, 1)
    name = ("rows", "columns")[axis]
    halves = []
    for which, picked, weight in (("low", low, 1 - part), ("high", high, part)):
        rows = pick(build, node, tensor, picked.tolist(), axis + 1, f"{name}_{which}")
        halves.append(
            build.function(node, tf.math.multiply, rows, weight.reshape(shape), suffix=f"{name}_{which}_part")
        )
    return build.layer(node, "Add", halves, "" if axis else name)
