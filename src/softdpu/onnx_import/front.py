"""What a network does to its pixels before its first layer, and what it gives, read without TensorFlow."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from softdpu.onnx_import.convert import graph_of
from softdpu.onnx_import.ends import find_logits
from softdpu.onnx_import.onnx_graph import Graph, Node, Shape
from softdpu.onnx_import.patterns import Finder


class Ends(NamedTuple):
    """Both ends of a network.

    Attributes:
        inputs: how many it takes.
        scalings: factors and offsets, x * factor + offset, of its first operations, one after another.
        shapes: of its outputs, with the batch; None where one is not known.
        logits: as ends.find_logits.
    """

    inputs: int
    scalings: list[tuple[np.ndarray, np.ndarray]]
    shapes: list[Shape | None]
    logits: str | None


def read_ends(path: Path, outputs: list[str] | None, size: tuple[int, int]) -> Ends:
    """Return the ends of the network in an ONNX file; of a file that is asked for again, and is the same, those found.

    Args:
        path: of the file.
        outputs: where the network ends, None for the file's own outputs.
        size: height and width where the file leaves them open.

    Raises:
        SoftdpuError: as convert.graph_of.
    """
    try:
        about = path.stat()
        stamp = (about.st_ino, about.st_mtime_ns, about.st_size)
    except OSError:
        stamp = None  # the reading says it
    return _read_ends(path, None if outputs is None else tuple(outputs), size, stamp)


@functools.lru_cache(maxsize=2)  # the whole network, and the one that ends where it is cut
def _read_ends(path: Path, outputs: tuple[str, ...] | None, size: tuple[int, int], stamp: object) -> Ends:
    graph = graph_of(path, None if outputs is None else list(outputs), size)
    scalings = _find_leading(graph) if len(graph.inputs) == 1 else []
    return Ends(len(graph.inputs), scalings, [graph.shapes.get(name) for name in graph.outputs], find_logits(graph))


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
