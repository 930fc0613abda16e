"""What the layer functions of the front end build with: operations, constants and fix operations, by AMD's names."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from softdpu.compiler.keras_model import KerasModel, Layer
from softdpu.compiler.op_graph import Fix, Op
from softdpu.errors import SoftdpuError


class Builder:
    """Collects the operations of one model while its layers are walked in order."""

    def __init__(self, model: KerasModel) -> None:
        self.model = model
        self.ops: list[Op] = []
        self._names: set[str] = set()
        self._layers = {layer.name for layer in model.layers}
        self._vectors: set[Op] = set()

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

    def quantize_output(self, layer: Layer, op: Op, after: Op | None = None) -> Op:
        """Append `<layer>_fix` to `op` where the layer stores the position of its output, and return the last one.

        Args:
            layer: says how its result is rounded.
            op: gets the quant_out_* attributes.
            after: the operation that the fix follows, `op` if None (a factor may come between).
        """
        last, fix = after or op, layer.output_fix()
        return self.add_fix(layer, self.base(layer, op.name) + "_fix", last, fix, marked=op) if fix else last

    def quantize_input(self, layer: Layer, name: str, source: Op) -> tuple[Op, dict[str, Any]]:
        """Append `<layer>_fix` before an operation that quantizes its input; return it and the quant_in_* marks."""
        fix = layer.input_fix()
        if fix is None:
            return source, {}
        return self.add_fix(layer, name + "_fix", source, fix), _marks("quant_in_", fix)

    def add_fix(self, layer: Layer, name: str, source: Op, fix: Fix, marked: Op | None = None) -> Op:
        """Append a fix operation on `source`; `marked` gets its quant_out_* attributes."""
        if marked is not None:
            marked.attrs.update(_marks("quant_out_", fix))
        else:
            source.attrs.setdefault("quant_out_round_mode", fix.round_mode)
        attrs = {**fix.attributes(), **_marks("quant_in_", fix), **_marks("quant_out_", fix)}
        return self._append(Op(name, "fix", {"input": [source]}, attrs, source.shape, fix=fix, layer=layer.name))

    def add_parameter(self, layer: Layer, name: str, value: np.ndarray, fix: Fix | None, suffix: str) -> Op:
        """Append a constant and, where it is quantized, its fix operation `<name><suffix>`; return the last one."""
        const = self.add_constant(layer, name, value, marked=False)
        if fix is None:
            return const
        attrs = fix.attributes()
        return self._append(Op(name + suffix, "fix", {"input": [const]}, attrs, const.shape, fix=fix, layer=layer.name))

    def add_constant(self, layer: Layer, name: str, value: Any, marked: bool = True) -> Op:
        """Append a float constant."""
        data = np.ascontiguousarray(value, np.float32)
        if data.ndim == 0:
            data = data.reshape(1)
        marks = {"quant_in_signed": True, "quant_out_signed": True} if marked else {}
        return self._append(Op(name, "const", {}, marks, data.shape, data=data, layer=layer.name))

    def mark_vector(self, op: Op) -> Op:
        """Mark `op`, one number per channel, as what Keras counts as a vector though the graph keeps its 1 x 1."""
        self._vectors.add(op)
        return op

    def is_vector(self, op: Op) -> bool:
        """Whether Keras counts the result of `op` as a vector though the graph keeps its 1 x 1 extent."""
        return op in self._vectors

    def flatten_vectors(self, layer: Layer, name: str, sources: list[Op]) -> list[Op]:
        """Return `sources` with the 1 x 1 extent of vectors taken off where other sources have none."""
        if all(len(op.shape) == len(sources[0].shape) for op in sources):
            return sources
        flat: dict[Op, Op] = {}
        for op in sources:
            if op in self._vectors and op not in flat:
                attrs = {"start_axis": 1, "end_axis": len(op.shape) - 1}
                shape = (op.shape[0], op.shape[-1])
                flat[op] = self.add(layer, f"{name}_{op.name}_flat", "flatten", {"input": [op]}, attrs, shape)
        return [flat.get(op, op) for op in sources]

    def base(self, layer: Layer, name: str) -> str:
        """Return the name that the fix of `layer` is called after, for the use of the layer that `name` belongs to."""
        return name if name.startswith(layer.name) else layer.name

    def _name(self, op: Op) -> None:
        """Give `op` a free name where its own is taken, or is that of a layer still to come, and say so."""
        name, number = op.name, 0
        while name in self._names or (name in self._layers and name != op.layer):
            number += 1
            name = f"{op.name}_{number}"
        if name != op.name:
            logging.getLogger(__name__).info(
                "note: layer %s: the name %s is another layer's, so its own is %s", op.layer, op.name, name
            )
            op.tensor = name if op.tensor == op.name else op.tensor
            op.name = name
        self._names.add(name)

    def _append(self, op: Op) -> Op:
        self._name(op)
        self.ops.append(op)
        sources = [source for source in op.inputs.get("input", []) if not _is_parameter(source)]
        if op.kind not in ("flatten", "reshape") and sources and self._vectors.issuperset(sources):
            self._vectors.add(op)
        return op


def _is_parameter(op: Op) -> bool:
    return op.is_constant or (op.kind == "fix" and op.input.is_constant)


def _marks(prefix: str, fix: Fix) -> dict[str, Any]:
    return {
        prefix + "bit_width": fix.bit_width,
        prefix + "quantize_pos": fix.position,
        prefix + "round_mode": fix.round_mode,
        prefix + "signed": True,
    }
