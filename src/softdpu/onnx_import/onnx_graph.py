"""A network as plain nodes: constants folded, every shape known, only what the outputs need."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError

Shape = tuple[int, ...]


@dataclass
class Node:
    """One operation.

    Attributes:
        op: its type, such as Conv; with its domain where that is not ONNX' own.
        name: as the file has it, or made of its first output.
        inputs, outputs: names of tensors; "" stands for an input that is left out.
        attrs: as the file has them: numbers, strings, lists, arrays.
        version: of the operator set that defines it.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    version: int = 21

    def input(self, index: int) -> str:
        """Return the name of an input, "" if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""


@dataclass
class Graph:
    """Nodes in an order where inputs come first.

    Attributes:
        nodes: what is computed from the inputs.
        constants: tensors that are known, float32 or whole numbers.
        shapes: of every tensor whose shape is known, the batch first where the file has it first.
        inputs, outputs: names of tensors.
        names: of the outputs in the file; a tensor that a node only passes on has the name before it in `outputs`.
        batch: images in a batch of the file, 1 for an open batch.
        notes: what was changed on the way, a sentence each.
    """

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    shapes: dict[str, Shape]
    inputs: list[str]
    outputs: list[str]
    names: list[str] = field(default_factory=list)
    batch: int = 1
    notes: list[str] = field(default_factory=list)

    def consumers(self) -> dict[str, list[Node]]:
        """Return the readers of each tensor, once for each time they read it."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def producers(self) -> dict[str, Node]:
        """Return the node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def prune(self) -> None:
        """Remove what no output needs."""
        self.nodes = select_needed(self.nodes, self.outputs)
        used = {name for node in self.nodes for name in node.inputs} | set(self.outputs)
        self.constants = {name: value for name, value in self.constants.items() if name in used}


def select_needed(nodes: Iterable[Node], outputs: Iterable[str]) -> list[Node]:
    """Return the nodes that `outputs` depend on, in their order."""
    wanted, kept = set(outputs), []
    for node in reversed(list(nodes)):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(all_inputs(node))
    return kept[::-1]


def all_inputs(node: Node) -> list[str]:
    """Return the tensors that a node reads, those that graphs within it read from outside included."""
    inner = [value for value in node.attrs.values() if hasattr(value, "node")]
    return [*node.inputs, *(name for graph in inner for name in _read_within(graph))]


def _read_within(graph: Any) -> Iterator[str]:
    """Yield what the nodes of a GraphProto read, those of graphs within it too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _read_within(attribute.g)


def check_names(path: object, wanted: list[str], known: list[str]) -> None:
    """Raise SoftdpuError, with the nearest names, if a wanted output is no tensor of the file."""
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0.3)
            hint = f"; near are {', '.join(near)}" if near else ""
            raise SoftdpuError(
                f"{path} has no tensor {name}{hint}; `softdpu import {path} --list` prints all of them (outputs)"
            )
