"""An ONNX file as onnx reads it: nothing outside its folder is opened, and what it lacks is said in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.registry import Refused
from softdpu.output.text import one_line

OPSETS = range(7, 22)
_DOMAINS = ("", "ai.onnx")
_MOST_FILE = 1 << 31  # bytes; what protobuf reads
_MOST_DATA = 8 << 30  # bytes in files of their own
_MOST_NODES, _MOST_CALLS = 20_000, 64  # operations with those of functions, and how deep these call one another


def require_onnx() -> Any:
    """Return the package onnx.

    Raises:
        SoftdpuError: if it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.numpy_helper
    except ImportError:
        raise SoftdpuError("reading .onnx files needs the package onnx: pip install 'softdpu[onnx]'") from None
    return onnx


@contextlib.contextmanager
def in_one_line(path: Path, node: Node | None = None) -> Iterator[None]:
    """Turn whatever libraries raise over a file that no exporter writes, or over one node of it, into one line."""
    try:
        yield
    except (SoftdpuError, Refused, MemoryError, OSError):
        raise
    except Exception as error:
        why = f"is damaged, or not as exporters write it ({_line(error)})"
        if node:
            why = f"has a node {node.name}, {node.op}, whose inputs or attributes do not fit ({_line(error)})"
        raise SoftdpuError(f"{path} {why}; export it again") from error


def load(path: Path) -> Any:
    """Return the ModelProto of a file, its external data read in.

    Raises:
        SoftdpuError: if it is missing, no ONNX, damaged, of an operator set that is not known, or if its external data
            is missing or outside its folder.
    """
    onnx = require_onnx()
    if not path.is_file():
        raise SoftdpuError(f"there is no ONNX file {path}; name a file that torch.onnx.export wrote (model.file)")
    if path.suffix.lower() in (".h5", ".hdf5", ".keras"):
        raise SoftdpuError(f"{path} is a file of Keras, which needs no import; name it as it is (model.file)")
    if path.stat().st_size > _MOST_FILE:
        raise SoftdpuError(f"{path} is larger than 2 GiB, which no ONNX file is; export its weights as external data")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's classes differ by version
        raise SoftdpuError(f"{path} is no ONNX file, or a damaged one ({_line(error)}); export it again") from None
    if not model.graph.node or not model.graph.output:
        raise SoftdpuError(f"{path} is no ONNX file, or an empty one: it has no operations; export it again")
    with in_one_line(path):
        return _check(onnx, path, model)


def _check(onnx: Any, path: Path, model: Any) -> Any:
    _check_opset(path, model)
    _check_calls(path, model)
    _read_external(path, model)
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    try:
        if model.ByteSize() < 1 << 31:
            onnx.checker.check_model(_strip_weights(onnx, model))
    except onnx.checker.ValidationError as error:
        raise SoftdpuError(f"{path} is not valid ONNX: {_line(error)}; export it again") from None
    return model


def _line(error: Exception) -> str:
    text = str(error).strip()
    return one_line(text.splitlines()[0], 300) if text else type(error).__name__


def _check_calls(path: Path, model: Any) -> None:
    """Refuse functions that call themselves, or one another so often that a short file has millions of operations."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    counted: dict[tuple[str, str], int] = {}

    def count(graph: Any, depth: int) -> int:
        total = 0
        if depth > _MOST_CALLS:
            raise SoftdpuError(f"{path}: its functions call one another in a circle, or deeper than {_MOST_CALLS}")
        for node in graph.node:
            total += 1
            key = (node.domain, node.op_type)
            if key in bodies:
                if key not in counted:
                    counted[key] = count(bodies[key], depth + 1)
                total += counted[key]
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    total += count(inner, depth)
        return total

    total = count(model.graph, 0)
    if total > _MOST_NODES:
        raise SoftdpuError(f"{path} has {total} operations, more than {_MOST_NODES}; end the network earlier (outputs)")


def _check_opset(path: Path, model: Any) -> None:
    version = opset(model)
    if version not in OPSETS:
        raise SoftdpuError(
            f"{path} has operator set {version}; {OPSETS[0]} to {OPSETS[-1]} can be read: export it with"
            " torch.onnx.export(..., opset_version=17)"
        )


def opset(model: Any) -> int:
    """Return the version of ONNX' own operators in a model, 1 if it names none."""
    return max((entry.version for entry in model.opset_import if entry.domain in _DOMAINS), default=1)


def _tensors(graph: Any) -> Any:
    """Yield every TensorProto of a graph and of the graphs within it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _tensors(inner)


def _read_external(path: Path, model: Any) -> None:
    """Put the numbers that lie in files of their own into the model; only files below its own folder are opened."""
    external = [tensor for tensor in _tensors(model.graph) if tensor.data_location == 1]
    left = _MOST_DATA
    for tensor in external:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        data = _read_external_bytes(path, tensor.name, entries, left)
        left -= len(data)
        tensor.raw_data = data
        tensor.data_location = 0
        del tensor.external_data[:]


def _read_external_bytes(path: Path, name: str, entries: dict[str, str], most: int) -> bytes:
    location = entries.get("location", "")
    if "\0" in location:
        raise SoftdpuError(f"{path}: tensor {name} names data in a file that cannot be; it is not read")
    folder = Path(os.path.realpath(path.parent))
    file = Path(os.path.realpath(folder / location))
    if not location or os.path.isabs(location) or ".." in Path(location.replace("\\", "/")).parts:
        raise SoftdpuError(f"{path}: tensor {name} names data outside the model's folder ({location}); it is not read")
    if folder not in file.parents:
        raise SoftdpuError(f"{path}: tensor {name} leads out of the model's folder ({location}); it is not read")
    if not file.is_file():
        raise SoftdpuError(f"{path}: the data of tensor {name} is missing: put the file {location} beside the model")
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", -1))
    except ValueError:
        raise SoftdpuError(f"{path}: tensor {name} says where its data is in words that are no numbers") from None
    size = file.stat().st_size
    length = size - offset if length < 0 else length
    if offset < 0 or length < 0 or offset + length > size:
        raise SoftdpuError(
            f"{path}: tensor {name} needs bytes {offset} to {offset + length} of {location}, which has {size}; copy the"
            " file again"
        )
    if length > most:
        raise SoftdpuError(f"{path}: its external data has more than {_MOST_DATA >> 30} GiB; no network of a DPU has")
    with open(file, "rb") as source:
        source.seek(offset)
        return source.read(length)


def _strip_weights(onnx: Any, model: Any) -> Any:
    """Return a model to check whose initializers are inputs instead, because checking copies everything."""
    shell = onnx.ModelProto()
    shell.ir_version = max(model.ir_version, 4)
    shell.opset_import.extend(model.opset_import)
    graph = shell.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    for value in graph.output:
        value.type.tensor_type.elem_type = value.type.tensor_type.elem_type or onnx.TensorProto.FLOAT
        value.type.tensor_type.shape.SetInParent()  # a file may leave out what the shapes of its outputs are
    names = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(value for value in model.graph.input if value.name not in names)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in model.graph.initializer
    )
    return shell


def array(path: Path, tensor: Any) -> np.ndarray:
    """Return a tensor's numbers.

    Raises:
        SoftdpuError: if they do not fit its shape or type.
    """
    onnx = require_onnx()
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SoftdpuError(f"{path}: tensor {tensor.name} is damaged ({_line(error)}); export it again") from None
