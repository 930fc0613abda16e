"""Read a Keras 2 HDF5 model, quantized or float, without TensorFlow.

Quantized files are those of AMD's vai_q_tensorflow2 and of softdpu's quantizer: every quantized layer sits in a
`Vitis>QuantizeWrapper`, and positions are scalar weights named `kernel_pos:0`, `output_0_pos:0` and so on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from softdpu.errors import SoftdpuError


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
        file_shape: output shape noted in the file, for custom layers; None if absent.
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

    def position(self, key: str) -> int | None:
        """Return the position stored as `<key>_pos`, or None."""
        value = self.weights.get(key + "_pos")
        return None if value is None else int(value)

    def bit_width(self, group: str) -> int:
        """Return the bit width of the first quantizer of `group` (weight, bias, activation, output); 8 if none."""
        settings = self.outer.get("quantize_config") or {}
        quantizers = (settings.get("config") or {}).get(group + "_quantizers") or []
        return int(quantizers[0]["quantizer_params"]["bit_width"]) if quantizers else 8


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


def read_keras_model(path: str | Path) -> KerasModel:
    """Read the HDF5 model at `path`.

    Raises:
        SoftdpuError: missing file, not HDF5, damaged, no model in it, or a Keras 3 file.
    """
    path = Path(path)
    if not path.is_file():
        raise SoftdpuError(f"{path}: no such model file")
    try:
        with h5py.File(path, "r") as file:
            return _read(path, file)
    except SoftdpuError:
        raise
    except BlockingIOError as error:
        raise SoftdpuError(f"{path}: another program has it open for writing: try again when it is done") from error
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise SoftdpuError(f"{path}: not a readable Keras HDF5 model, damaged or cut short ({error})") from error


def _read(path: Path, file: h5py.File) -> KerasModel:
    text = file.attrs.get("model_config")
    if text is None or "model_weights" not in file:
        raise SoftdpuError(f"{path}: holds no Keras model (weights only?): save the whole model with model.save()")
    model = json.loads(text.decode() if isinstance(text, bytes) else text)
    config = model["config"]
    kind = model.get("class_name")
    if kind not in ("Functional", "Model", "Sequential"):
        raise SoftdpuError(f"{path}: expected a Functional or Sequential Keras model, got {kind}")
    shapes = file.get("optimizer_weights", {})
    layers: list[Layer] = []
    for item in config["layers"]:
        previous = layers[-1] if layers else None
        calls = _chain_call(previous) if kind == "Sequential" else _calls(path, item)
        if kind == "Sequential" and previous is None and item["class_name"] != "InputLayer":
            layers.append(_implied_input(item["config"]))
            calls = _chain_call(layers[-1])
        layers.append(_layer(item, calls, file["model_weights"], shapes))
    if kind == "Sequential":
        return KerasModel(config["name"], path, tuple(layers), ((layers[0].name, 0),), ((layers[-1].name, 0),))
    return KerasModel(
        config["name"], path, tuple(layers), _ends(path, config["input_layers"]), _ends(path, config["output_layers"])
    )


def _chain_call(previous: Layer | None) -> tuple[Call, ...]:
    return (Call(((previous.name, 0),)),) if previous else (Call(()),)


def _implied_input(config: dict[str, Any]) -> Layer:
    shape = {"batch_input_shape": config["batch_input_shape"], "name": config["name"] + "_input"}
    return Layer(shape["name"], "InputLayer", "", shape, shape, (Call(()),), {}, {})


def _ends(path: Path, items: Any) -> tuple[tuple[str, int], ...]:
    """Read input_layers or output_layers: [name, 0, 0], or a list or dict of such."""
    if isinstance(items, dict):
        items = list(items.values())
    if items and isinstance(items[0], str):
        items = [items]
    return tuple(_tensor(path, item) for item in items)


def _calls(path: Path, item: dict[str, Any]) -> tuple[Call, ...]:
    nodes = item.get("inbound_nodes") or []
    if any(isinstance(node, dict) for node in nodes):
        raise SoftdpuError(f"{path}: a Keras 3 file: save the model with Keras 2 (tf_keras)")
    return tuple(_call(path, node) for node in nodes) or (Call(()),)


def _call(path: Path, node: list[Any]) -> Call:
    """Read one call: [[layer, call, tensor, {arguments}], ...]; a TFOpLambda has a single such entry without list.

    Where a function's first operand is a number, the entry is ["_CONSTANT_VALUE", -1, number, {arguments}].
    """
    entries = [node] if node and isinstance(node[0], str) else node
    inputs: list[tuple[str, int]] = []
    arguments: dict[str, Any] = {}
    for entry in entries:
        if entry[0] == "_CONSTANT_VALUE":
            arguments["x"] = entry[2]
        else:
            inputs.append(_tensor(path, entry))
        for key, value in (entry[3] if len(entry) > 3 else {}).items():
            if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str):
                inputs.append(_tensor(path, value))
            elif value is not None and key != "name":
                arguments[key] = value
    return Call(tuple(inputs), arguments)


def _tensor(path: Path, entry: list[Any]) -> tuple[str, int]:
    """Read [layer, call, tensor, ...]."""
    if int(entry[2]) != 0:
        raise SoftdpuError(
            f"{path}: layer '{entry[0]}' makes several tensors (tf.split?): only layers with one are supported; "
            "use slices x[..., a:b]"
        )
    return str(entry[0]), int(entry[1])


def _layer(item: dict[str, Any], calls: tuple[Call, ...], weights: h5py.Group, shapes: Any) -> Layer:
    outer = item["config"]
    name = item.get("name") or outer["name"]
    kind = item["class_name"].removeprefix("Vitis>")
    wrapper, config = "", outer
    if kind in ("QuantizeWrapper", "CustomOpWrapper"):
        wrapper, config = kind, outer["layer"]["config"]
        kind = outer["layer"]["class_name"].removeprefix("Vitis>").removeprefix("Custom>")
    elif kind == "VitisQuantize":
        wrapper = kind
    values: dict[str, np.ndarray] = {}
    paths: dict[str, str] = {}
    group = weights.get(name)
    names = group.attrs.get("weight_names", []) if group is not None else []
    for raw in names:
        full = raw.decode() if isinstance(raw, bytes) else str(raw)
        short = full.split("/")[-1].split(":")[0]
        short = short if short not in values else full
        values[short] = group[full][()]
        paths[short] = full
    noted = shapes.get(name + ":0") if shapes else None
    file_shape = tuple(int(n) for n in noted[()]) if noted is not None else None
    return Layer(name, kind, wrapper, config, outer, calls, values, paths, file_shape)
