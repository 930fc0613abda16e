"""Layers that add, multiply, scale or average numbers one by one in the front end's graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import layer as layer_kind

_ELEMENTWISE = {"Add": "add", "Multiply": "mul", "Subtract": "sub", "Maximum": "max", "Minimum": "min"}


@layer_kind(*_ELEMENTWISE)
def merge(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """One number of each source makes one of the result."""
    return elementwise(build, layer, name, _ELEMENTWISE[layer.kind], sources)


@layer_kind("Average")
def average(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Average: a sum divided by the number of its terms."""
    shape = _common_shape(build, layer, sources)
    total = build.add(layer, f"{name}_sum", "add", {"input": list(sources)}, {}, shape)
    count = build.add_constant(layer, f"{name}_count_const", len(sources))
    return build.quantize_output(layer, build.add(layer, name, "div", {"input": [total, count]}, {}, shape))


def elementwise(build: Builder, layer: Layer, name: str, kind: str, sources: list[Op]) -> Op:
    """Append an operation on the numbers of `sources`, which broadcast."""
    sources = build.flatten_vectors(layer, name, list(sources))
    shape = _common_shape(build, layer, sources)
    return build.quantize_output(layer, build.add(layer, name, kind, {"input": sources}, {}, shape))


def _common_shape(build: Builder, layer: Layer, sources: list[Op]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(op.shape for op in sources))
    except ValueError:
        raise build.error(layer, f"inputs of shapes {', '.join(str(op.shape) for op in sources)} do not fit") from None


@layer_kind("BatchNormalization")
def batch_normalization(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A BatchNormalization that was not folded: x * scale + offset on the CPU, quantized if the layer is."""
    epsilon = float(layer.config.get("epsilon", 1e-3))
    variance = np.asarray(layer.weights["moving_variance"], np.float64)
    scale = layer.weights.get("gamma", 1.0) / np.sqrt(variance + epsilon)
    offset = layer.weights.get("beta", 0.0) - layer.weights["moving_mean"] * scale
    return _steps(build, layer, name, sources[0], [("mul", scale), ("add", offset)])


@layer_kind("Rescaling")
def rescaling(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Rescaling: x * scale + offset."""
    return _steps(build, layer, name, sources[0], [("mul", layer.config["scale"]), ("add", layer.config["offset"])])


@layer_kind("Normalization")
def normalization(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """Normalization: (x - mean) / deviation, or with `invert` x * deviation + mean."""
    mean, variance = (
        np.asarray(layer.weights.get(key, layer.config.get(key)), np.float32) for key in ("mean", "variance")
    )
    axes = layer.config.get("axis", -1)
    axes = [axes] if isinstance(axes, int) else [] if axes is None else list(axes)
    shape, rank = sources[0].shape, len(sources[0].shape)
    kept = {int(axis) % rank for axis in axes}
    spread = [shape[axis] if axis in kept else 1 for axis in range(rank)]
    try:
        mean, variance = (
            np.broadcast_to(x.reshape(-1), int(np.prod(spread))).reshape(spread) for x in (mean, variance)
        )
    except (ValueError, TypeError):
        raise build.error(
            layer, f"its mean and variance do not fit an input of shape {shape}: adapt it first"
        ) from None
    deviation = np.maximum(np.sqrt(variance), np.float32(1e-7))
    if layer.config.get("invert"):
        return _steps(build, layer, name, sources[0], [("mul", deviation), ("add", mean)])
    return _steps(build, layer, name, sources[0], [("sub", mean), ("div", deviation)])


def _steps(build: Builder, layer: Layer, name: str, op: Op, steps: list[tuple[str, Any]]) -> Op:
    """Append operations with constants, one on the other, the last of them named `name`."""
    for number, (kind, value) in enumerate(steps, 1):
        own = name if number == len(steps) else f"{name}_{kind}"
        const = build.add_constant(layer, f"{own}_const", value)
        op = build.add(layer, own, kind, {"input": [op, const]}, {}, op.shape)
    return build.quantize_output(layer, op)
