"""A convolution whose channels are split becomes a convolution for each part, so that no layer has to cut."""

from __future__ import annotations

import dataclasses

import numpy as np

from softdpu.onnx_import.onnx_graph import Graph, Node
from softdpu.onnx_import.patterns import Finder

_BETWEEN = ("Swish", "Relu", "LeakyRelu", "HardSwish", "Sigmoid", "HardSigmoid", "Clip", "Mish", "BatchNormalization")


def split_convolutions(graph: Graph) -> None:
    """Take apart, in place, every Conv that only a Split of its channels reads, activations between them included."""
    finder = Finder(graph)
    for node in list(graph.nodes):
        if node.op != "Split" or len(graph.shapes.get(node.inputs[0], ())) != 4 or node.attrs.get("axis", 0) % 4 != 1:
            continue
        chain = _chain(finder, node)
        sizes = [graph.shapes[name][1] for name in node.outputs if name in graph.shapes]
        if chain is None or len(sizes) != len(node.outputs):
            continue
        ends = np.cumsum(sizes).tolist()
        new: list[Node] = []
        for index, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            new += _part(graph, chain, node.outputs[index], slice(end - size, end), index)
        at = graph.nodes.index(chain[0])
        graph.nodes[at:at] = new
        for old in [*chain, node]:
            graph.nodes.remove(old)
        finder = Finder(graph)


def _chain(finder: Finder, split: Node) -> list[Node] | None:
    """Return the nodes from a Conv to just before a Split, if nothing else reads them."""
    chain: list[Node] = []
    name = split.inputs[0]
    while True:
        node = finder.made_by(name, "Conv", *_BETWEEN, alone=True)
        if node is None:
            return None
        chain.insert(0, node)
        constants = [finder.constant(one) for one in node.inputs[1:] if one]
        if any(constant is None for constant in constants):
            return None
        if node.op == "Conv":
            return chain if node.attrs.get("group", 1) == 1 else None
        name = node.inputs[0]


def _part(graph: Graph, chain: list[Node], output: str, channels: slice, index: int) -> list[Node]:
    """Return copies of a chain's nodes that make some of the channels."""
    source, made = chain[0].inputs[0], []
    for node in chain:
        last = node is chain[-1]
        name = output if last else f"{node.outputs[0]}_part{index}"
        constants = []
        for one in node.inputs[1:]:
            value = graph.constants.get(one)
            cut = value is not None and node.op in ("Conv", "BatchNormalization")
            key = f"{one}_part{index}" if cut else one
            if cut and value is not None:
                graph.constants[key] = value[channels]
                graph.shapes[key] = graph.constants[key].shape
            constants.append(key)
        shape = list(graph.shapes[node.outputs[0]])
        shape[1] = channels.stop - channels.start
        graph.shapes[name] = tuple(shape)
        made.append(dataclasses.replace(node, name=f"{node.name}_{index}", inputs=[source, *constants], outputs=[name]))
        source = name
    return made
