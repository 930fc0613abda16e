"""An ONNX file as a Keras model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softdpu.onnx_import import ops
from softdpu.onnx_import.fold import read_graph
from softdpu.onnx_import.load import in_one_line, load
from softdpu.onnx_import.onnx_graph import Graph
from softdpu.onnx_import.patterns import join
from softdpu.onnx_import.rows import widen_rows
from softdpu.onnx_import.split import split_convolutions
from softdpu.onnx_import.value import Value


@dataclass(frozen=True)
class Imported:
    """What came of an ONNX file.

    Attributes:
        model: functional Keras model, images NHWC.
        inputs, outputs: its tensors, with the order of their axes against the file's.
        notes: what was changed on the way, a sentence each.
    """

    path: Path
    model: Any
    inputs: list[tuple[str, Value]]
    outputs: list[tuple[str, Value]]
    notes: list[str]


def graph_of(path: Path, outputs: list[str] | None = None, size: tuple[int, int] | None = None) -> Graph:
    """Return the graph of a file before lowering, patterns joined.

    Args:
        path: of the .onnx.
        outputs: names of the tensors where the network ends; None for the file's own.
        size: height and width, where the file leaves them open.

    Raises:
        SoftdpuError: as load.load and fold.read_graph.
    """
    model = load(path)
    with in_one_line(path):
        graph = read_graph(path, model, outputs, size)
        widen_rows(graph)
        join(graph)
        split_convolutions(graph)
    return graph


def import_onnx(path: Path, outputs: list[str] | None = None, size: tuple[int, int] | None = None) -> Imported:
    """Return the Keras model of a file; the arguments are those of `graph_of`.

    Raises:
        SoftdpuError: if the file cannot be read, or naming every operation that cannot be imported.
    """
    graph = graph_of(path, outputs, size)
    from softdpu.onnx_import.lower import Lowering  # TensorFlow is slow to import, and a bad file is said first

    ops.load_all()
    with in_one_line(path):
        model, inputs, made = Lowering(graph, path).run()
    return Imported(
        path,
        model,
        list(zip(graph.inputs, inputs, strict=True)),
        list(zip(graph.names, made, strict=True)),
        graph.notes,
    )
