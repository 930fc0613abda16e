"""What is in an ONNX file: its tensors, where each would run, and where to cut off what no DPU has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from softdpu.onnx_import import ops
from softdpu.onnx_import.convert import graph_of
from softdpu.onnx_import.load import in_one_line
from softdpu.onnx_import.onnx_graph import Graph, Node
from softdpu.onnx_import.registry import CPU, OPERATIONS

_HEAVY = ("Conv", "ConvTranspose", "Gemm", "Dense", "MatMul")
_MOVES = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split", "Gather", "Concat", "Expand")
_NOT_KNOWN = "cannot be imported"
_SHARE = 0.95  # of the multiplications; what is cut off may have the rest


@dataclass(frozen=True)
class Row:
    """One tensor: its name, its shape in the file, the operation that makes it, and where that runs."""

    tensor: str
    shape: str
    op: str
    runs: str


@dataclass(frozen=True)
class Listing:
    """A file's tensors in the order in which they are made, and the tensors to end the network at.

    `cut` is empty where nothing is to be cut.
    """

    rows: list[Row]
    cut: list[str]


def listing(path: Path, size: tuple[int, int] | None = None) -> Listing:
    """Return what is in a file; `size` is height and width where it leaves them open.

    Raises:
        SoftdpuError: as convert.graph_of.
    """
    ops.load_all()
    graph = graph_of(path, None, size)
    with in_one_line(path):
        return _listing(graph)


def _listing(graph: Graph) -> Listing:
    rows = [Row(name, _shape(graph, name), "input", "") for name in graph.inputs]
    for node in graph.nodes:
        entry = OPERATIONS.get(node.op)
        runs = (entry.runs or "nothing to do") if entry else _NOT_KNOWN
        rows += [Row(name, _shape(graph, name), node.op, runs) for name in node.outputs if name]
    return Listing(rows, suggest_cut(graph))


def _shape(graph: Graph, name: str) -> str:
    return "x".join(map(str, graph.shapes[name])) if name in graph.shapes else "?"


def suggest_cut(graph: Graph) -> list[str]:
    """Return the tensors at which the part ends that a DPU runs, if what comes behind is only a network's decoding.

    From the outputs back, everything is cut off that is no convolution, activation or pooling of images, up to the
    last of those; nothing is where that would take more than a twentieth of the multiplications.
    """
    body = _body(graph)
    readers = graph.consumers()
    ends = []
    for node in graph.nodes:
        for name in node.outputs:
            outside = any(id(reader) not in body for reader in readers.get(name, []))
            if id(node) in body and (outside or name in graph.outputs):
                ends.append(name)
    total = sum(_work(graph, node) for node in graph.nodes)
    kept = sum(_work(graph, node) for node in graph.nodes if id(node) in body)
    if not ends or len(body) == len(graph.nodes) or kept < _SHARE * total:
        return []
    return [] if ends == graph.outputs else ends


def _body(graph: Graph) -> set[int]:
    """Return the ids of the nodes that stay: those of images that the DPU may run and all before them, without moves
    that stand at the end."""
    image: set[int] = set()
    producers, before_heavy = graph.producers(), _before_heavy(graph)
    for node in graph.nodes:
        before = [producers[name] for name in node.inputs if name in producers]
        entry = OPERATIONS.get(node.op)
        sized = all(
            len(graph.shapes.get(name, ())) in (2, 4)
            for name in [*node.inputs, *node.outputs]
            if name in graph.shapes and name not in graph.constants
        )
        if (
            entry
            and sized
            and all(id(one) in image for one in before)
            and (entry.runs != CPU or id(node) in before_heavy)
        ):
            image.add(id(node))
    while True:
        readers = graph.consumers()
        ended = [
            node
            for node in graph.nodes
            if id(node) in image
            and (node.op in _MOVES or node.op == "Softmax")
            and not any(id(reader) in image for name in node.outputs for reader in readers.get(name, []))
            and not all(name in graph.outputs for name in node.outputs)
        ]
        if not ended:
            return image
        image.difference_update(id(node) for node in ended)


def _before_heavy(graph: Graph) -> set[int]:
    """Return the ids of the nodes behind which a convolution still comes."""
    readers, found = graph.consumers(), set()
    for node in reversed(graph.nodes):
        for reader in (reader for name in node.outputs for reader in readers.get(name, [])):
            heavy = reader.op in _HEAVY and len(graph.shapes.get(reader.outputs[0], ())) == 4
            if id(reader) in found or (heavy and _work(graph, reader) > 1e5):
                found.add(id(node))
                break
    return found


def _work(graph: Graph, node: Node) -> float:
    """Return how many multiplications a node has, roughly."""
    if node.op not in _HEAVY or node.outputs[0] not in graph.shapes:
        return 0.0
    weights = graph.constants.get(node.input(1))
    if weights is None:
        return 0.0
    out, count = graph.shapes[node.outputs[0]], float(weights.size)
    if node.op in ("Conv", "ConvTranspose"):
        source = graph.shapes.get(node.inputs[0], out)
        place = out if node.op == "Conv" else source
        return count * place[-1] * place[-2]
    return count
