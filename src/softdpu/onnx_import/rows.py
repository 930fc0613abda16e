"""Operations on rows of numbers, such as Conv1d, as those on images of height 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.onnx_import.onnx_graph import Graph, Node, Shape

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
_OPS = (*_WINDOWS, "BatchNormalization", "GlobalAveragePool", "GlobalMaxPool")
_ONES = {"kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 0, "output_shape": 1}
_ADDED = 2  # the axis of the height


def widen_rows(graph: Graph) -> None:
    """Put an axis of height 1 around every operation of three dimensions, in place."""
    nodes: list[Node] = []
    images: dict[str, str] = {}  # rows that are an image without its height, and that image
    for node in graph.nodes:
        if node.op not in _OPS or len(graph.shapes.get(node.inputs[0], ())) != 3 or len(node.outputs) > 1:
            nodes.append(node)
            continue
        source, out = node.inputs[0], node.outputs[0]
        if source not in images:
            images[source] = f"{source}_of_height_1"
            nodes.append(_move(graph, "Unsqueeze", node, source, images[source]))
            graph.shapes[images[source]] = _with_height(graph.shapes[source])
        images[out] = f"{out}_of_height_1"
        if out in graph.shapes:
            graph.shapes[images[out]] = _with_height(graph.shapes[out])
        node.inputs = [images[source], *(_weights(graph, node, name) for name in node.inputs[1:])]
        node.outputs = [images[out]]
        node.attrs = {key: _attribute(key, value) for key, value in node.attrs.items()}
        nodes += [node, _move(graph, "Squeeze", node, images[out], out)]
    if images:
        graph.nodes = nodes
        graph.prune()


def _with_height(shape: Shape) -> Shape:
    return (*shape[:_ADDED], 1, *shape[_ADDED:])


def _move(graph: Graph, op: str, node: Node, source: str, out: str) -> Node:
    axes = f"{out}_axes"
    graph.constants[axes] = np.array([_ADDED], np.int64)
    return Node(op, f"{node.name}_{op.lower()}", [source, axes], [out], {"axes": [_ADDED]}, node.version)


def _weights(graph: Graph, node: Node, name: str) -> str:
    """Return the name of an input with a height, if it is a kernel."""
    value = graph.constants.get(name)
    if node.op not in _WINDOWS or value is None or value.ndim != 3:
        return name
    wide = f"{name}_of_height_1"
    graph.constants[wide] = value[:, :, None]
    graph.shapes[wide] = graph.constants[wide].shape
    return wide


def _attribute(key: str, value: Any) -> Any:
    if key in _ONES:
        return [_ONES[key], *value]
    return [0, value[0], 0, value[1]] if key == "pads" else value
