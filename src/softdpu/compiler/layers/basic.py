"""One function a Keras layer: what operations the layer becomes in the front end's graph.

Each takes the builder, the layer, the name of this use of the layer, the producers of its inputs and the call, and
returns the operation whose output stands for the layer's. Shapes are NHWC; kernels and strides are written width first.
"""

from __future__ import annotations

from typing import Any

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import Call, Layer
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import layer as layer_kind
from softdpu.keras2.kinds import IDLE, KEEP_SHAPE


@layer_kind("InputLayer")
def input_layer(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A placeholder with batch 1."""
    shape = layer.config.get("batch_input_shape") or layer.config.get("batch_shape") or []
    if len(shape) < 2 or any(not isinstance(size, int) or size <= 0 for size in shape[1:]):
        raise build.error(layer, f"expected an input of known size, got {list(shape)[1:]}: fix height and width")
    shape = (1, *shape[1:])
    return build.add(layer, name, "data", {}, {"shape": list(shape), "data_type": "float32"}, shape)


@layer_kind("VitisQuantize")
def quantize(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A quantizer of its own."""
    fix = layer.output_fix()
    if fix is None:
        raise build.error(layer, "holds no position: calibrate the model first")
    return build.add_fix(layer, name, sources[0], fix)


@layer_kind(*IDLE)
def passed_through(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A layer that does nothing at inference."""
    return sources[0]


def custom_layer(build: Builder, layer: Layer, name: str, sources: list[Op], call: Call) -> Op:
    """A layer that only the user's code knows: an operation of its own kind, its weights as constants."""
    constants = [
        build.add_constant(layer, f"{layer.paths[key]}_const", value) for key, value in layer.constants.items()
    ]
    shape = _custom_shape(build, layer, sources)
    attrs = {
        "shape": list(shape),
        "data_type": layer.outer.get("dtype", "float32"),
        "trainable": bool(layer.outer.get("trainable", True)),
    }
    for key, value in layer.config.items():
        if key not in ("name", "dtype", "trainable") and _plain(value):
            attrs[key] = list(value) if isinstance(value, tuple) else value
    op = build.add(layer, name, layer.kind, {"input": [*sources, *constants]}, attrs, shape)
    return build.quantize_output(layer, op)


def _custom_shape(build: Builder, layer: Layer, sources: list[Op]) -> tuple[int, ...]:
    """Return what the layer makes, by the file or by what Keras says of its class; no shape is ever assumed."""
    noted = layer.file_shape
    if noted is None and layer.config.get("output_shape_type") == "raw" and layer.config.get("output_shape"):
        noted = (1, *layer.config["output_shape"])  # Lambda(..., output_shape=...)
    if noted is not None and all(isinstance(size, int) and size > 0 for size in noted[1:]):
        return (1, *noted[1:])
    if layer.kind in KEEP_SHAPE and len(sources) == 1:
        return sources[0].shape
    raise build.error(
        layer,
        "is not known here, and the file does not say the shape of what it makes: quantize with softdpu, which notes "
        "it (AMD's quantizer: add_shape_info=True), or build the model with layers that are known",
    )


def _plain(value: Any) -> bool:
    """Whether an xir attribute can hold it."""
    if isinstance(value, (list, tuple)):
        return bool(value) and (
            all(isinstance(item, int) for item in value) or all(isinstance(item, str) for item in value)
        )
    return isinstance(value, (bool, int, float, str))
