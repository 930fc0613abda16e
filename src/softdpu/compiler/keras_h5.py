"""Read a Keras 2 HDF5 model, quantized or float, without TensorFlow.

Quantized files are those of AMD's vai_q_tensorflow2 and of softdpu's quantizer: every quantized layer sits in a
`Vitis>QuantizeWrapper`, and positions are scalar weights named `kernel_pos:0`, `output_0_pos:0` and so on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from softdpu.compiler.keras_model import Call, KerasModel, Layer
from softdpu.errors import SoftdpuError
from softdpu.keras2 import hdf5, structure
from softdpu.keras2.kinds import MODELS, strip_package

_Keys = tuple[tuple[str, int], ...]  # (layer, call number)


def read_keras_model(path: str | Path) -> KerasModel:
    """Read the HDF5 model at `path`.

    Raises:
        SoftdpuError: missing file, not HDF5, damaged, no model in it, or a Keras 3 file.
    """
    path = Path(path)
    if not path.is_file():
        raise SoftdpuError(f"{path}: no such model file")
    try:
        with hdf5.open_checked(path, path) as file:
            return _read(path, file)
    except SoftdpuError:
        raise
    except BlockingIOError as error:
        raise SoftdpuError(f"{path}: another program has it open for writing: try again when it is done") from error
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise SoftdpuError(f"{path}: not a readable Keras HDF5 model, damaged or cut short ({error})") from error


@contextlib.contextmanager
def report_damage(path: str | Path) -> Iterator[None]:
    """Turn what a damaged model makes the compiler's own code raise (a missing weight, a wrong rank) into one line."""
    try:
        yield
    except SoftdpuError:
        raise
    except Exception as error:  # LookupError, TypeError, ... of code that trusts the model
        what = " ".join(str(error).split())[:200]
        raise SoftdpuError(
            f"{path}: the weights or settings of a layer do not fit together ({type(error).__name__}: {what});"
            " save the model again"
        ) from error


def _read(path: Path, file: h5py.File) -> KerasModel:
    text = file.attrs.get("model_config")
    if text is None or "model_weights" not in file:
        raise SoftdpuError(f"{path}: holds no Keras model (weights only?): save the whole model with model.save()")
    model = structure.parse(text, path)
    structure.check(model, path)
    config = model["config"]
    kind = model.get("class_name")
    if kind not in MODELS:
        raise SoftdpuError(f"{path}: expected a Functional or Sequential Keras model, got {kind}")
    reader = _Reader(path, file["model_weights"], _read_shapes(file, config))
    inputs, outputs = reader.read(config, kind == "Sequential")
    layers = tuple(_replace_inputs(layer, reader.instead) for layer in reader.layers)
    outputs = tuple(_follow(key, reader.instead) for key in outputs)
    return KerasModel(config["name"], path, layers, inputs, outputs)


def _read_shapes(file: h5py.File, config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the output shapes that the file notes by layer: the quantizer's, and those of add_shape_info=True."""
    shapes = {name: tuple(int(size) for size in shape) for name, shape in config.get("output_shapes", {}).items()}
    for name, values in file.get("optimizer_weights", {}).items():
        if isinstance(values, h5py.Dataset) and values.ndim == 1:  # otherwise a real optimizer's
            shapes[name.removesuffix(":0")] = tuple(int(size) for size in values[()])
    return shapes


class _Reader:
    """Collects the layers of a model and of the models inside it."""

    def __init__(self, path: Path, weights: h5py.Group, shapes: dict[str, tuple[int, ...]]) -> None:
        self.path, self.weights, self.shapes = path, weights, shapes
        self.layers: list[Layer] = []
        self.instead: dict[tuple[str, int], tuple[str, int]] = {}  # a use of a model inside -> of its last layer

    def read(self, config: dict[str, Any], is_chain: bool, prefix: str = "", group: str = "") -> tuple[_Keys, _Keys]:
        """Append the layers of one model and return its inputs and outputs.

        Args:
            config: of the model.
            is_chain: whether each layer reads the one before it (Sequential).
            prefix: what the names of a model inside another begin with.
            group: of the outermost model inside, which holds the weights of all layers in it.
        """
        items = list(config["layers"])
        if is_chain and items[0]["class_name"] != "InputLayer":
            items.insert(0, _make_input(items[0]["config"]))
        last: tuple[Call, ...] = (Call(()),)
        for item in items:
            name = prefix + (item.get("name") or item["config"]["name"])
            calls = last if is_chain else _read_calls(self.path, item)
            if prefix and not is_chain:
                calls = tuple(replace(c, inputs=tuple((prefix + n, at) for n, at in c.inputs)) for c in calls)
            if item["class_name"] in MODELS and "layers" in item["config"]:
                last = (Call((self._append_inside(item, name, calls, group),)),)
            else:
                self.layers.append(_read_layer(item, name, calls, self.weights, group, self.shapes))
                last = (Call(((name, 0),)),)
        if is_chain:
            return ((prefix + _read_name(items[0]), 0),), last[0].inputs
        ends = (_read_ends(self.path, config[key]) for key in ("input_layers", "output_layers"))
        inputs, outputs = (tuple((prefix + name, number) for name, number in end) for end in ends)
        return inputs, outputs

    def _append_inside(self, item: dict[str, Any], name: str, calls: tuple[Call, ...], group: str) -> tuple[str, int]:
        """Append a model inside once for each use of it; Keras counts these from 1. Return the last one's output."""
        for number, call in enumerate(calls, 1):
            prefix = f"{name}/" if number == 1 else f"{name}_{number - 1}/"
            start = len(self.layers)
            inputs, outputs = self.read(
                item["config"], item["class_name"] == "Sequential", prefix, group or _read_name(item)
            )
            if len(outputs) != 1:
                raise SoftdpuError(f"{self.path}: model '{name}' inside the model makes several tensors: build it flat")
            given = dict(zip(inputs, call.inputs, strict=True))
            heads = {layer for layer, _ in inputs}
            self.layers[start:] = [layer for layer in self.layers[start:] if layer.name not in heads]
            self.instead.update(given)
            self.instead[name, number] = outputs[0]
        return name, len(calls)


def _replace_inputs(layer: Layer, instead: dict[tuple[str, int], tuple[str, int]]) -> Layer:
    calls = (replace(call, inputs=tuple(_follow(key, instead) for key in call.inputs)) for call in layer.calls)
    return replace(layer, calls=tuple(calls))


def _follow(key: tuple[str, int], instead: dict[tuple[str, int], tuple[str, int]]) -> tuple[str, int]:
    while key in instead:
        key = instead[key]
    return key


def _read_name(item: dict[str, Any]) -> str:
    return str(item.get("name") or item["config"]["name"])


def _make_input(config: dict[str, Any]) -> dict[str, Any]:
    """Return the InputLayer that a Sequential model does without."""
    name = config["name"] + "_input"
    return {"class_name": "InputLayer", "config": {"batch_input_shape": config["batch_input_shape"], "name": name}}


def _read_ends(path: Path, items: Any) -> tuple[tuple[str, int], ...]:
    """Read input_layers or output_layers: [name, 0, 0], or a list or dict of such."""
    if isinstance(items, dict):
        items = list(items.values())
    if items and isinstance(items[0], str):
        items = [items]
    return tuple(_read_tensor(path, item) for item in items)


def _read_calls(path: Path, item: dict[str, Any]) -> tuple[Call, ...]:
    nodes = item.get("inbound_nodes") or []
    if any(isinstance(node, dict) for node in nodes):
        raise SoftdpuError(f"{path}: a Keras 3 file: save the model with Keras 2 (tf_keras)")
    return tuple(_read_call(path, node) for node in nodes) or (Call(()),)


def _read_call(path: Path, node: list[Any]) -> Call:
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
            inputs.append(_read_tensor(path, entry))
        for key, value in (entry[3] if len(entry) > 3 else {}).items():
            if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str):
                inputs.append(_read_tensor(path, value))
            elif value is not None and key != "name":
                arguments[key] = value
    return Call(tuple(inputs), arguments)


def _read_tensor(path: Path, entry: list[Any]) -> tuple[str, int]:
    """Read [layer, call, tensor, ...]."""
    if int(entry[2]) != 0:
        raise SoftdpuError(
            f"{path}: layer '{entry[0]}' makes several tensors (tf.split?): only layers with one are supported; "
            "use slices x[..., a:b]"
        )
    return str(entry[0]), int(entry[1])


def _read_weight_names(group: h5py.Group) -> list[str]:
    """Return the names in the attribute weight_names, which Keras cuts into weight_names0, ... above 64 KiB."""
    stored, part = list(group.attrs.get("weight_names", [])), 0
    while f"weight_names{part}" in group.attrs:
        stored += list(group.attrs[f"weight_names{part}"])
        part += 1
    return [raw.decode() if isinstance(raw, bytes) else str(raw) for raw in stored]


def _select_own(names: list[str], layer: str) -> list[str]:
    """Return those of a whole model's weight names that belong to one layer, whose own name may hold slashes."""
    exact = [name for name in names if name.rpartition("/")[0] == layer]
    return exact or [name for name in names if name.rpartition("/")[0].endswith(f"/{layer}")]


def _read_layer(
    item: dict[str, Any],
    name: str,
    calls: tuple[Call, ...],
    weights: h5py.Group,
    within: str,
    shapes: dict[str, tuple[int, ...]],
) -> Layer:
    """Read one layer; the weights of one inside another model are `within` that model's group."""
    outer = item["config"]
    kind = strip_package(item["class_name"])
    wrapper, config = "", outer
    if kind in ("QuantizeWrapper", "CustomOpWrapper"):
        wrapper, config = kind, outer["layer"]["config"]
        kind = strip_package(outer["layer"]["class_name"])
    elif kind == "VitisQuantize":
        wrapper = kind
    values: dict[str, np.ndarray] = {}
    paths: dict[str, str] = {}
    group = weights.get(within or name)
    names = _read_weight_names(group) if group is not None else []
    for full in _select_own(names, _read_name(item)) if within else names:
        short = full.split("/")[-1].split(":")[0]
        short = short if short not in values else full
        values[short] = group[full][()]
        hdf5.check_values(np.asarray(values[short]), weights.file.filename, full)
        paths[short] = full
    return Layer(name, kind, wrapper, config, outer, calls, values, paths, shapes.get(name))
