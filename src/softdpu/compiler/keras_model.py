"""A quantized Keras model as its file has it; each layer answers for the positions of its input, weights and output.

`keras_h5` makes these objects from a file, `layers/` makes operations of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.compiler.op_graph import DPU_ROUND, PY3_ROUND, Fix

_NO_NUMBERS = ("_pos", "_min", "_max", "optimizer_step")  # ends of the names of what only the quantizer reads


@dataclass(frozen=True)
class Call:
    """One use of a layer: the tensors that it reads, as (layer name, call number), and constant arguments."""

    inputs: tuple[tuple[str, int], ...]
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One Keras layer, unwrapped.

    Attributes:
        name: outer name, such as quant_conv1.
        kind: inner class without the prefix Vitis>, such as Conv2D or VitisSigmoid.
        wrapper: QuantizeWrapper, CustomOpWrapper, VitisQuantize or "" for a bare layer.
        config: of the inner layer.
        outer: of the wrapper; the same as config for a bare layer.
        calls: uses, the first being number 0.
        weights: arrays and scalars by short name, such as kernel or output_0_pos.
        paths: full name in the file by short name.
        file_shape: output shape noted in the file, batch first, for layers that only Keras knows; None if absent.
    """

    name: str
    kind: str
    wrapper: str
    config: dict[str, Any]
    outer: dict[str, Any]
    calls: tuple[Call, ...]
    weights: dict[str, np.ndarray]
    paths: dict[str, str]
    file_shape: tuple[int, ...] | None = None

    @property
    def positions(self) -> dict[str, np.ndarray]:
        """The stored positions by short name without _pos, such as kernel or output_0."""
        return {key.removesuffix("_pos"): value for key, value in self.weights.items() if key.endswith("_pos")}

    @property
    def constants(self) -> dict[str, np.ndarray]:
        """The arrays that the layer computes with, by short name; notes of the quantizer are none."""
        return {key: value for key, value in self.weights.items() if not key.endswith(_NO_NUMBERS) and np.ndim(value)}

    def input_fix(self) -> Fix | None:
        """Return how the layer rounds its input before it computes in float; None where it does not."""
        return self._fix("pre_activation", "activation")

    def weight_fix(self, key: str) -> Fix | None:
        """Return how the weight `key` (kernel, bias, ...) is rounded, half to even; None where it is float."""
        group = "bias" if key == "bias" and self._quantizers("bias") else "weight"
        return self._fix(key, group, PY3_ROUND)

    def output_fix(self) -> Fix | None:
        """Return how the layer rounds its result; None where it does not."""
        if self.kind == "VitisQuantize":
            bits = int(self.config["quantizer"]["config"].get("bit_width", 8))
            return next((Fix(int(position), bits) for position in self.positions.values()), None)
        group = "output" if self._quantizers("output") else "activation"
        return self._fix("post_activation", "activation") or self._fix("output_0", group)

    def _fix(self, key: str, group: str, round_mode: int = DPU_ROUND) -> Fix | None:
        """Return position `<key>_pos` with the bit width of the first quantizer of `group`, 8 if there is none."""
        position = self.positions.get(key)
        if position is None:
            return None
        quantizers = self._quantizers(group)
        bits = int(quantizers[0]["quantizer_params"]["bit_width"]) if quantizers else 8
        return Fix(int(position), bits, round_mode)

    def _quantizers(self, group: str) -> list[dict[str, Any]]:
        """Return the quantizers of `group` (weight, bias, activation, output) in the wrapper's settings."""
        settings = self.outer.get("quantize_config") or {}
        return (settings.get("config") or {}).get(group + "_quantizers") or []


@dataclass(frozen=True)
class KerasModel:
    """A model as the file has it: layers in topological order, names of input and output layers."""

    name: str
    path: Path
    layers: tuple[Layer, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]

    @property
    def is_quantized(self) -> bool:
        """Whether any layer is wrapped by the quantizer."""
        return any(layer.wrapper in ("QuantizeWrapper", "VitisQuantize") for layer in self.layers)
