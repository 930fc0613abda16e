"""What a network does to its pixels before its first layer, read without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from softdpu.onnx_import.convert import graph_of
from softdpu.onnx_import.onnx_graph import Graph, Node
from softdpu.onnx_import.patterns import Finder


def scalings(path: Path, outputs: list[str] | None, size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the factors and offsets, x * factor + offset, of an ONNX file's first operations, one after another.

    Args:
        path: of the file.
        outputs: where the network ends, None for the file's own outputs.
        size: height and width where the file leaves them open.

    Raises:
        SoftdpuError: as convert.graph_of.
    """
    graph = graph_of(path, outputs, size)
    return _find_leading(graph) if len(graph.inputs) == 1 else []


def _find_leading(graph: Graph) -> list[tuple[np.ndarray, np.ndarray]]:
    finder, name = Finder(graph), graph.inputs[0]
    found = []
    while finder.is_private(name):
        node = finder.readers[name][0]
        step = _step(finder, node, name)
        if step is None:
            break
        found.append(step)
        name = node.outputs[0]
    return found


def _step(finder: Finder, node: Node, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return factor and offset of an operation with constants, one number or one per channel."""
    if node.op not in ("Add", "Sub", "Mul", "Div") or len(node.inputs) != 2:
        return None
    first = node.inputs[1] == name
    constant = finder.constant(node.inputs[0 if first else 1])
    if constant is None or constant.size not in (1, 3) or (node.op == "Div" and first):
        return None
    value = constant.astype(np.float64).reshape(-1)
    one, zero = np.ones_like(value), np.zeros_like(value)
    if node.op == "Add":
        return one, value
    if node.op == "Sub":
        return (-one, value) if first else (one, -value)
    return (value, zero) if node.op == "Mul" else (one / value, zero)
