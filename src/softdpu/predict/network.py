"""From a model file to layers: what runs on the DPU, what on the board's processor, and for which DPU it was made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xir
from softdpu.compiler.compile import compile_keras
from softdpu.compiler.inspector import as_quantized
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.errors import SoftdpuError
from softdpu.numbers.boards import Target
from softdpu.predict.layers import Layer
from softdpu.xmodel import load
from xir.op_defs import op_defs

_KINDS = {
    "conv2d-fix": "conv",
    "transposed-conv2d-fix": "conv",
    "depthwise-conv2d-fix": "dwconv",
    "transposed-depthwise-conv2d-fix": "dwconv",
    "pool-fix": "pool",
    "eltwise-fix": "eltwise",
    "depthwise-fix": "eltwise",
    "prelu-fix": "eltwise",
    "concat-fix": "join",
    "pad-fix": "join",  # written into place by the layer before
}
_CONSTANTS = ("const", "const-fix")
# Operations that hand on the same values under another name.
_NAMES_ONLY = ("upload", "download", "fix2float", "float2fix", "reshape-fix", "flatten", "squeeze", "squeeze-fix")
# How softdpu's compiler spells an average pooling with padding, exact where the DPU's would not be. AMD's compiler
# keeps it on the DPU, as the published frames/s of the Inception networks say.
_PADDED_AVERAGE = ("fix2float", "depthwise-conv2d", "mul", "float2fix")
# What every app does with the last tensor is part of the app's own time.
_OF_THE_APP = ("fix2float", "float2fix", "softmax", "softmax-fix", "argmax", "argmax-fix", "reshape", "reshape-fix")


@dataclass(frozen=True)
class Network:
    """A compiled network.

    Attributes:
        parts: the layers of each DPU subgraph, in the order of the file.
        processor_values: how many values the operations on the board's processor read, those of every app left out.
        pixels: height x width of the input.
        input_values: height x width x channels of the input.
    """

    parts: tuple[tuple[Layer, ...], ...]
    processor_values: int
    pixels: int
    input_values: int


@dataclass(frozen=True)
class Model:
    """A model file that has been opened.

    Attributes:
        path: of the file.
        read: the network as it is compiled for a target.
        fingerprint: of the DPU that an .xmodel was compiled for; None for a Keras model and an .xmodel that names none.
    """

    path: Path
    read: Callable[[Target], Network]
    fingerprint: int | None


def open_model(path: str | Path) -> Model:
    """Open a compiled .xmodel, or a quantized or float Keras .h5, which is compiled in memory for each DPU.

    Raises:
        SoftdpuError: no such file, not a model, nothing in it for a DPU, or an operation whose time nobody knows.
    """
    file = Path(path)
    if file.suffix in (".h5", ".hdf5"):
        model = as_quantized(read_keras_model(file))
        made: dict[int, Network] = {}

        def compiled(target: Target) -> Network:
            if target.fingerprint not in made:
                made[target.fingerprint] = read_graph(compile_keras(model, target).to_xir(), file)
            return made[target.fingerprint]

        return Model(file, compiled, None)
    graph = load.load(file)
    numbers = load.list_fingerprints(graph)
    if len(numbers) > 1:
        raise SoftdpuError(f"{file}: compiled for {len(numbers)} different DPUs; compile it again for one")
    network = read_graph(graph, file)
    return Model(file, lambda target: network, numbers[0] if numbers else None)


def read_graph(graph: xir.Graph, path: Path) -> Network:
    """Return a compiled graph as a network.

    Raises:
        SoftdpuError: no DPU subgraph, or a custom operation.
    """
    parts: list[tuple[Layer, ...]] = []
    averages, values = 0, 0
    inputs: list[tuple[int, ...]] = []
    for device, subgraph in load.list_devices(graph):
        ops = [op for op in subgraph.toposort() if op.get_type() not in _CONSTANTS]
        if device == "DPU":
            parts.append(tuple(_read_layer(op) for op in ops if op.get_type() not in _NAMES_ONLY))
        elif device == "CPU" and tuple(op.get_type() for op in ops) == _PADDED_AVERAGE:
            parts.append((_average(ops[1], ops[-1]),))
            averages += 1
        elif device == "USER":
            inputs += [_read_size(op) for op in ops]
        elif device == "CPU":
            values += sum(_count_values_read(op, path) for op in ops if op.get_type() not in _OF_THE_APP)
    if not any(parts):
        raise SoftdpuError(f"{path}: no DPU subgraph: expected a compiled model that runs on a DPU at least partly")
    if averages:
        parts = [tuple(layer for part in parts for layer in part)]
    pixels = sum(height * width for height, width, _ in inputs)
    return Network(tuple(parts), values, pixels, sum(math.prod(size) for size in inputs))


def _read_layer(op: xir.Op) -> Layer:
    arguments = op.get_input_ops()
    sources = [_find_origin(source) for source in arguments.get("input", []) if source.get_type() not in _CONSTANTS]
    constants = [one for ops in arguments.values() for one in ops if one.get_type() in _CONSTANTS]
    kind = _KINDS.get(op.get_type(), "move")
    width, height = _read_pair(op, "kernel")
    stride = 1 if kind == "move" else max(_read_pair(op, "stride"))  # that of blocks of pixels is one number
    transposed = op.get_type().startswith("transposed")
    source = _read_size(sources[0]) if sources else _read_size(op)
    if kind == "conv" and "weights" in arguments:
        source = (*source[:2], arguments["weights"][0].get_output_tensor().dims[3])  # of one group
    return Layer(
        name=op.get_name(),
        kind=kind,
        source=source,
        output=_read_size(op),
        kernel=(height, width),
        stride=1 if transposed else stride,
        up=stride if transposed else 1,
        weights=sum(math.prod(one.get_output_tensor().dims) for one in constants),
        sources=tuple(one.get_name() for one in sources),
    )


def _find_origin(op: xir.Op) -> xir.Op:
    """Return the operation that computed what `op` hands on."""
    while op.get_type() in _NAMES_ONLY and op.get_input_ops().get("input"):
        op = op.get_input_ops()["input"][0]
    # The product of a padded average pooling stands for the sums that it scales.
    sums = op.get_input_ops().get("input", []) if op.get_type() == "mul" else []
    return next((one for one in sums if one.get_type() == "depthwise-conv2d"), op)


def _average(sums: xir.Op, last: xir.Op) -> Layer:
    source = _find_origin(sums.get_input_ops()["input"][0])
    width, height = _read_pair(sums, "kernel")
    stride = max(_read_pair(sums, "stride"))
    return Layer(
        sums.get_name(),
        "pool",
        _read_size(source),
        _read_size(last),
        (height, width),
        stride,
        1,
        0,
        (source.get_name(),),
    )


def _read_pair(op: xir.Op, name: str) -> tuple[int, int]:
    value: Any = op.get_attr(name) if op.has_attr(name) else None
    return (int(value[0]), int(value[-1])) if value else (1, 1)


def _read_size(op: xir.Op) -> tuple[int, int, int]:
    """Return (height, width, channels) of an op's output; missing ones are 1, further ones join the height."""
    dims = [1, 1, *op.get_output_tensor().dims[1:]]
    return math.prod(dims[:-2]), dims[-2], dims[-1]


def _count_values_read(op: xir.Op, path: Path) -> int:
    if op.get_type() not in op_defs():
        raise SoftdpuError(
            f"{path}: op '{op.get_name()}' of type {op.get_type()} is a custom operation, whose time on the board's "
            "processor is not known: predict the model without it"
        )
    window = math.prod(_read_pair(op, "kernel")) * math.prod(_read_size(op))
    read = sum(math.prod(_read_size(source)) for source in op.get_input_ops().get("input", []))
    return max(window if op.has_attr("kernel") else 0, read)
