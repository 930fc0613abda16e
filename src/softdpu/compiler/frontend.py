"""The front end: a quantized Keras model becomes a graph of float operations with `fix` operations between them.

The graph is the one that AMD's front end writes for the same file (operations, names, attributes, positions), so that
either tool's output can be looked at with the other's eyes. docs/compiler.md lists the differences.
"""

from __future__ import annotations

import hashlib

import numpy as np

from softdpu.compiler.builder import Builder
from softdpu.compiler.keras_model import KerasModel
from softdpu.compiler.layers import LAYERS
from softdpu.compiler.layers.basic import custom_layer
from softdpu.compiler.op_graph import Graph, Op
from softdpu.errors import SoftdpuError


def build_graph(model: KerasModel) -> Graph:
    """Return the graph of a quantized Keras model, before any compilation.

    Raises:
        SoftdpuError: the model is not quantized, is of a training-only form, or holds something that has no meaning
            here; the text names the layer.
    """
    _check_deployable(model)
    graph = _walk(model)
    graph.attrs["origin"] = "tensorflow2"
    digest = hashlib.md5(model.path.read_bytes(), usedforsecurity=False).hexdigest()
    # AMD writes the absolute path; the bare name keeps the bytes the same on every machine.
    graph.attrs["files_md5sum"] = {model.path.name: digest}
    return graph


def _walk(model: KerasModel) -> Graph:
    """Turn the layers into operations, in the file's order; a layer that is used again makes operations again."""
    builder = Builder(model)
    made: dict[tuple[str, int], Op] = {}
    for layer in model.layers:
        known = LAYERS.get(layer.kind, custom_layer)
        function = custom_layer if layer.wrapper == "CustomOpWrapper" else known
        for number, call in enumerate(layer.calls):
            missing = [source for source, use in call.inputs if (source, use) not in made]
            if missing:
                raise builder.error(layer, f"reads '{missing[0]}', which comes later or never: the file is damaged")
            sources = [made[key] for key in call.inputs]
            name = layer.name if number == 0 else f"{layer.name}_{number}"
            made[layer.name, number] = function(builder, layer, name, sources, call)
    unknown = [name for name, number in model.outputs if (name, number) not in made]
    if unknown:
        raise SoftdpuError(f"{model.path}: output layer '{unknown[0]}' does not exist: the file is damaged")
    return Graph(model.name, builder.ops, [made[key] for key in model.outputs]).drop_unused()


def _check_deployable(model: KerasModel) -> None:
    if not model.is_quantized:
        raise SoftdpuError(
            f"{model.path}: a float model: expected a quantized one; quantize it first (scripts/quantize.py)"
        )
    for layer in model.layers:
        if "ConvBN" in layer.kind:
            raise SoftdpuError(
                f"{model.path}: layer '{layer.name}' still trains its batch normalization: "
                "make the deploy model first (get_deploy_model)"
            )
        if any(name.endswith("_log_th") for name in layer.weights):
            raise SoftdpuError(
                f"{model.path}: layer '{layer.name}' holds trained thresholds instead of positions (TQT): "
                "make the deploy model first (get_deploy_model)"
            )
        positions = layer.positions.values()
        if not all(np.ndim(value) == 0 and np.isfinite(value) and float(value).is_integer() for value in positions):
            raise SoftdpuError(f"{model.path}: layer '{layer.name}': a position is no whole number (per channel?)")
