"""The front end: a quantized Keras model becomes a graph of float operations with `fix` operations between them.

The graph is the one that AMD's front end writes for the same file (operations, names, attributes, positions), so that
either tool's output can be looked at with the other's eyes. docs/compiler.md lists the differences.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from softdpu.compiler.graph import PY3_ROUND, Fix, Graph, Op
from softdpu.compiler.keras_h5 import KerasModel, Layer
from softdpu.errors import SoftdpuError


class Builder:
    """Collects the operations of one model while its layers are walked in order."""

    def __init__(self, model: KerasModel) -> None:
        self.model = model
        self.ops: list[Op] = []
        self._names: set[str] = set()
        self._by_call: dict[tuple[str, int], Op] = {}

    def error(self, layer: Layer, problem: str) -> SoftdpuError:
        """Return an error that names the file and the layer."""
        return SoftdpuError(f"{self.model.path}: layer '{layer.name}' ({layer.kind}): {problem}")

    def add(
        self,
        layer: Layer,
        name: str,
        kind: str,
        inputs: dict[str, list[Op]],
        attrs: dict[str, Any],
        shape: tuple[int, ...],
    ) -> Op:
        """Append an operation with the marks that AMD's front end puts on each."""
        marks = {"quant_in_signed": True, "quant_out_signed": True}
        return self._append(Op(name, kind, inputs, {**attrs, **marks}, tuple(shape), layer=layer.name))

    def quantized(self, layer: Layer, op: Op, after: Op | None = None) -> Op:
        """Append `<layer>_fix` to `op` where the layer stores the position of its output, and return the last one.

        Args:
            layer: its weights hold post_activation_pos or output_0_pos.
            op: gets the quant_out_* attributes.
            after: the operation that the fix follows, `op` if None (a factor may come between).
        """
        last = after or op
        for key, group in (("post_activation", "activation"), ("output_0", "output")):
            position = layer.position(key)
            if position is not None:
                bits = layer.bit_width(group) if group == "activation" else self._output_bits(layer)
                return self.fixed(layer, self.base(layer, op.name) + "_fix", last, Fix(position, bits), marked=op)
        return last

    def quantized_input(self, layer: Layer, name: str, source: Op) -> tuple[Op, dict[str, Any]]:
        """Append `<layer>_fix` before an operation that quantizes its input; return it and the quant_in_* marks."""
        position = layer.position("pre_activation")
        if position is None:
            return source, {}
        fix = Fix(position, layer.bit_width("activation"))
        return self.fixed(layer, name + "_fix", source, fix), _marks("quant_in_", fix)

    def fixed(self, layer: Layer, name: str, source: Op, fix: Fix, marked: Op | None = None) -> Op:
        """Append a fix operation on `source`; `marked` gets its quant_out_* attributes."""
        if marked is not None:
            marked.attrs.update(_marks("quant_out_", fix))
        else:
            source.attrs.setdefault("quant_out_round_mode", fix.round_mode)
        attrs = {**fix.attributes(), **_marks("quant_in_", fix), **_marks("quant_out_", fix)}
        return self._append(Op(name, "fix", {"input": [source]}, attrs, source.shape, fix=fix, layer=layer.name))

    def parameter(self, layer: Layer, name: str, value: np.ndarray, fix: Fix | None, suffix: str) -> Op:
        """Append a constant and, where it is quantized, its fix operation `<name><suffix>`; return the last one."""
        const = self.constant(layer, name, value, marked=False)
        if fix is None:
            return const
        attrs = fix.attributes()
        return self._append(Op(name + suffix, "fix", {"input": [const]}, attrs, const.shape, fix=fix, layer=layer.name))

    def constant(self, layer: Layer, name: str, value: Any, marked: bool = True) -> Op:
        """Append a float constant."""
        data = np.ascontiguousarray(value, np.float32)
        if data.ndim == 0:
            data = data.reshape(1)
        marks = {"quant_in_signed": True, "quant_out_signed": True} if marked else {}
        return self._append(Op(name, "const", {}, marks, data.shape, data=data, layer=layer.name))

    def weight_fix(self, layer: Layer, key: str) -> Fix | None:
        """Return how the weight `key` is quantized: its position, rounded half to even; None if it is float."""
        position = layer.position(key)
        group = "bias" if key == "bias" and _has(layer, "bias_quantizers") else "weight"
        return None if position is None else Fix(position, layer.bit_width(group), PY3_ROUND)

    def base(self, layer: Layer, name: str) -> str:
        """Return the name that the fix of `layer` is called after, for the use of the layer that `name` belongs to."""
        return name if name.startswith(layer.name) else layer.name

    def _output_bits(self, layer: Layer) -> int:
        return layer.bit_width("output" if _has(layer, "output_quantizers") else "activation")

    def _append(self, op: Op) -> Op:
        if op.name in self._names:
            raise SoftdpuError(f"{self.model.path}: layer '{op.layer}' makes a second operation named '{op.name}'")
        self._names.add(op.name)
        self.ops.append(op)
        return op

    def build(self) -> Graph:
        """Walk the layers and return the graph."""
        from softdpu.compiler.layers import LAYERS, custom_layer

        for layer in self.model.layers:
            build = LAYERS.get(layer.kind) if layer.wrapper != "CustomOpWrapper" else custom_layer
            for number, call in enumerate(layer.calls):
                sources = [self._source(layer, key) for key in call.inputs]
                name = layer.name if number == 0 else f"{layer.name}_{number}"
                self._by_call[layer.name, number] = (build or custom_layer)(self, layer, name, sources, call)
        unknown = [name for name, number in self.model.outputs if (name, number) not in self._by_call]
        if unknown:
            raise SoftdpuError(f"{self.model.path}: output layer '{unknown[0]}' does not exist: the file is damaged")
        outputs = [self._by_call[key] for key in self.model.outputs]
        return Graph(self.model.name, self.ops, outputs).without_unused()

    def _source(self, layer: Layer, key: tuple[str, int]) -> Op:
        if key not in self._by_call:
            raise self.error(layer, f"reads '{key[0]}', which comes later or does not exist: the file is damaged")
        return self._by_call[key]


def _has(layer: Layer, group: str) -> bool:
    return bool(((layer.outer.get("quantize_config") or {}).get("config") or {}).get(group))


def _marks(prefix: str, fix: Fix) -> dict[str, Any]:
    return {
        prefix + "bit_width": fix.bit_width,
        prefix + "quantize_pos": fix.position,
        prefix + "round_mode": fix.round_mode,
        prefix + "signed": True,
    }


def front_end(model: KerasModel) -> Graph:
    """Return the graph of a quantized Keras model, before any compilation.

    Raises:
        SoftdpuError: the model is not quantized, is of a training-only form, or holds something that has no meaning
            here; the text names the layer.
    """
    _check_deployable(model)
    graph = Builder(model).build()
    graph.attrs["origin"] = "tensorflow2"
    digest = hashlib.md5(model.path.read_bytes(), usedforsecurity=False).hexdigest()
    # AMD writes the absolute path; the bare name keeps the bytes the same on every machine.
    graph.attrs["files_md5sum"] = {model.path.name: digest}
    return graph


def _check_deployable(model: KerasModel) -> None:
    if not model.is_quantized:
        raise SoftdpuError(
            f"{model.path}: a float model: expected a quantized one; quantize it first (scripts/quantize.py)"
        )
    for layer in model.layers:
        if layer.kind == "VitisConvBN" or "train_with_bn" in layer.outer:
            raise SoftdpuError(f"{model.path}: layer '{layer.name}' still trains its batch normalization: deploy first")
        if any(name.endswith("_log_th") for name in layer.weights):
            raise SoftdpuError(
                f"{model.path}: layer '{layer.name}' holds trained thresholds instead of positions (TQT): "
                "make the deploy model first (get_deploy_model)"
            )
        positions = [value for name, value in layer.weights.items() if name.endswith("_pos")]
        if not all(np.ndim(value) == 0 and np.isfinite(value) and float(value).is_integer() for value in positions):
            raise SoftdpuError(f"{model.path}: layer '{layer.name}': a position is no whole number (per channel?)")
