"""Operations that exporters write with several nodes, joined to the one that they are.

A pattern is a function that looks at one node, the last of the group, and returns the node to put in its place, or
None. What only the group needed goes when the graph is pruned. Joined nodes have the types of ONNX where it has one,
else Swish, Mish, HardSwish, Gelu, ChannelShuffle, Dense.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from softdpu.onnx_import.onnx_graph import Graph, Node


class Finder:
    """What patterns ask of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()
        self.readers = graph.consumers()

    def made_by(self, name: str, *ops: str, alone: bool = False) -> Node | None:
        """Return the node that makes a tensor, if it is one of `ops` (and, with `alone`, nothing else reads it)."""
        node = self.producers.get(name)
        if node is None or node.op not in ops:
            return None
        return None if alone and not self.is_private(name) else node

    def is_private(self, name: str) -> bool:
        """Tell whether exactly one node reads a tensor and it is no output."""
        return len(self.readers.get(name, [])) == 1 and name not in self.graph.outputs

    def constant(self, name: str) -> np.ndarray | None:
        """Return a constant's numbers."""
        return self.graph.constants.get(name)

    def number(self, name: str) -> float | None:
        """Return a constant that is one number."""
        value = self.graph.constants.get(name)
        return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None

    def find_number(self, node: Node) -> tuple[str, float] | None:
        """Return (the tensor, the number) of a node of two inputs of which one is a number."""
        if len(node.inputs) == 2:
            for one, other in (node.inputs, node.inputs[::-1]):
                number = self.number(other)
                if number is not None and one not in self.graph.constants:
                    return one, number
        return None


Pattern = Callable[[Finder, Node], Node | None]
PATTERNS: dict[str, list[Pattern]] = {}


def pattern(*ops: str) -> Callable[[Pattern], Pattern]:
    """Register a pattern whose last node is one of `ops`."""

    def register(function: Pattern) -> Pattern:
        for op in ops:
            PATTERNS.setdefault(op, []).append(function)
        return function

    return register


def join(graph: Graph) -> None:
    """Put joined nodes in the place of every group that a pattern finds, until there is none."""
    while True:
        finder, changed = Finder(graph), False
        for index, node in enumerate(graph.nodes):
            for function in PATTERNS.get(node.op, []):
                new = function(finder, node)
                if new is not None:
                    graph.nodes[index] = new
                    finder.producers.update(dict.fromkeys(new.outputs, new))
                    changed = True
                    break
        if not changed:
            return
        graph.prune()


def _as(node: Node, op: str, inputs: list[str], **attrs: object) -> Node:
    return dataclasses.replace(node, op=op, inputs=inputs, attrs=dict(attrs))


def clip_limits(finder: Finder, node: Node) -> tuple[float, float] | None:
    """Return the limits of a Clip, infinite where it has none; None if they are not constant."""
    limits = []
    for index, key in ((1, "min"), (2, "max")):
        given = node.input(index)
        number = finder.number(given) if given else node.attrs.get(key)
        if given and number is None:
            return None
        limits.append(float("-inf" if key == "min" else "inf") if number is None else float(number))
    return limits[0], limits[1]


@pattern("Mul", "Div")
def hard_sigmoid(finder: Finder, node: Node) -> Node | None:
    """Relu6(x + 3) / 6, or times 1 / 6, is a HardSigmoid."""
    found = finder.find_number(node)
    if found is None or (node.op == "Div" and finder.number(node.inputs[1]) is None):
        return None
    factor = 1 / found[1] if node.op == "Div" and found[1] else found[1]
    clip = finder.made_by(found[0], "Clip")
    if abs(factor - 1 / 6) > 1e-4 or clip is None or clip_limits(finder, clip) != (0.0, 6.0):
        return None
    total = finder.made_by(clip.inputs[0], "Add")
    inner = finder.find_number(total) if total else None
    if inner is None or inner[1] != 3.0:
        return None
    return _as(node, "HardSigmoid", [inner[0]], alpha=1 / 6, beta=0.5)


@pattern("Div", "Mul")
def hard_swish(finder: Finder, node: Node) -> Node | None:
    """X * Relu6(x + 3), divided by 6, is a HardSwish: the division can come last."""
    found = finder.find_number(node)
    if found is None or (node.op == "Div" and finder.number(node.inputs[1]) is None):
        return None
    factor = 1 / found[1] if node.op == "Div" and found[1] else found[1]
    product = finder.made_by(found[0], "Mul", alone=True)
    if product is None or abs(factor - 1 / 6) > 1e-4:
        return None
    for x, gate in (product.inputs, product.inputs[::-1]):
        clip = finder.made_by(gate, "Clip")
        total = finder.made_by(clip.inputs[0], "Add") if clip else None
        inner = finder.find_number(total) if total else None
        if clip and inner == (x, 3.0) and clip_limits(finder, clip) == (0.0, 6.0):
            return _as(node, "HardSwish", [x])
    return None


@pattern("Mul")
def join_gate(finder: Finder, node: Node) -> Node | None:
    """X times its own sigmoid is Swish, times its hard sigmoid HardSwish, times tanh(softplus(x)) Mish."""
    for x, gate in (node.inputs, node.inputs[::-1]):
        sigmoid = finder.made_by(gate, "Sigmoid")
        if sigmoid and sigmoid.inputs == [x]:
            return _as(node, "Swish", [x])
        hard = finder.made_by(gate, "HardSigmoid")
        if hard and hard.inputs == [x] and _is_dpu_hard_sigmoid(hard):
            return _as(node, "HardSwish", [x])
        tanh = finder.made_by(gate, "Tanh")
        softplus = finder.made_by(tanh.inputs[0], "Softplus") if tanh else None
        if softplus and softplus.inputs == [x]:
            return _as(node, "Mish", [x])
    return None


def _is_dpu_hard_sigmoid(node: Node) -> bool:
    return abs(node.attrs.get("alpha", 0.2) - 1 / 6) < 1e-4 and abs(node.attrs.get("beta", 0.5) - 0.5) < 1e-6


@pattern("Mul")
def gelu(finder: Finder, node: Node) -> Node | None:
    """0.5 * x * (1 + erf(x / sqrt(2))), in the orders that exporters have, is Gelu."""
    factors = _product(finder, node, 3)
    numbers = [finder.number(name) for name in factors]
    rest = [name for name, number in zip(factors, numbers, strict=True) if number is None]
    if len(rest) != 2 or float(np.prod([number for number in numbers if number is not None])) != 0.5:
        return None
    for x, one in (rest, rest[::-1]):
        total = finder.made_by(one, "Add")
        inner = finder.find_number(total) if total else None
        erf = finder.made_by(inner[0], "Erf") if inner and inner[1] == 1.0 else None
        scale = finder.made_by(erf.inputs[0], "Div", "Mul") if erf else None
        scaled = finder.find_number(scale) if scale else None
        if scale and scaled and scaled[0] == x and scaled[1]:
            factor = 1 / scaled[1] if scale.op == "Div" else scaled[1]
            if abs(factor - 0.5**0.5) < 1e-5:
                return _as(node, "Gelu", [x])
    return None


def _product(finder: Finder, node: Node, most: int) -> list[str]:
    """Return the factors of a product of products, at most `most`."""
    factors = list(node.inputs)
    for name in node.inputs:
        inner = finder.made_by(name, "Mul", alone=True)
        if inner and len(factors) < most and name in factors:
            factors.remove(name)
            factors += inner.inputs
    return factors


@pattern("Add")
def bias(finder: Finder, node: Node) -> Node | None:
    """A matrix product or convolution without bias plus a constant vector has it as its bias."""
    for source, other in (node.inputs, node.inputs[::-1]):
        value, product = finder.constant(other), finder.made_by(source, "MatMul", "Conv", "Dense", alone=True)
        if value is None or product is None or len(product.inputs) > 2:
            continue
        weights = finder.constant(product.inputs[1])
        if weights is None or value.dtype != np.float32:
            continue
        if (
            product.op == "Conv"
            and weights.ndim == 4
            and value.shape in ((1, len(weights), 1, 1), (len(weights), 1, 1))
        ):
            name = _constant(finder, f"{other}_bias", value.reshape(-1))
            return dataclasses.replace(product, outputs=node.outputs, inputs=[*product.inputs, name])
        if product.op != "Conv" and weights.ndim == 2 and value.shape in (weights.shape[1:], (1, weights.shape[1])):
            name = _constant(finder, f"{other}_bias", value.reshape(-1))
            return dataclasses.replace(product, op="Dense", outputs=node.outputs, inputs=[*product.inputs, name])
    return None


@pattern("Reshape")
def flat_product(finder: Finder, node: Node) -> Node | None:
    """A matrix product of rows that a Reshape makes of all axes but the last, and its way back, is one of that axis."""
    product = finder.made_by(node.inputs[0], "Gemm", "Dense", "MatMul", alone=True)
    split = finder.made_by(product.inputs[0], "Reshape", "Flatten") if product else None
    if product is None or split is None or product.attrs.get("transA"):
        return None
    shapes = finder.graph.shapes
    source, rows, out = (shapes.get(one) for one in (split.inputs[0], split.outputs[0], node.outputs[0]))
    weights, offset = finder.constant(product.inputs[1]), finder.constant(product.input(2))
    if source is None or rows is None or out is None or weights is None or weights.ndim != 2 or len(source) < 3:
        return None
    if len(rows) != 2 or rows[1] != source[-1] or source[:-1] != out[:-1] or (product.input(2) and offset is None):
        return None
    if product.attrs.get("transB"):
        weights = weights.T
    inputs = [split.inputs[0]]
    inputs.append(_constant(finder, f"{node.name}_weights", weights * np.float32(product.attrs.get("alpha", 1.0))))
    if offset is not None:
        offset = np.broadcast_to(offset.reshape(-1), weights.shape[1:]) * np.float32(product.attrs.get("beta", 1.0))
        inputs.append(_constant(finder, f"{node.name}_offsets", offset))
    return dataclasses.replace(product, op="Dense", inputs=inputs, outputs=node.outputs, attrs={})


def _constant(finder: Finder, name: str, value: np.ndarray) -> str:
    finder.graph.constants[name] = value
    finder.graph.shapes[name] = value.shape
    return name


@pattern("Reshape")
def shuffle(finder: Finder, node: Node) -> Node | None:
    """Reshape, Transpose, Reshape that only reorder channels are a ChannelShuffle, or a DepthToSpace."""
    turn = finder.made_by(node.inputs[0], "Transpose", alone=True)
    split = finder.made_by(turn.inputs[0], "Reshape", alone=True) if turn else None
    if turn is None or split is None:
        return None
    shapes = finder.graph.shapes
    source, parts, end = (shapes.get(name) for name in (split.inputs[0], split.outputs[0], node.outputs[0]))
    if source is None or parts is None or end is None or len(source) != 4 or len(end) != 4:
        return None
    order = list(turn.attrs.get("perm", []))
    images = parts[0] == source[0] == end[0]
    if images and order == [0, 2, 1, 3, 4] and source == end and parts[3:] == source[2:]:
        return _as(node, "ChannelShuffle", [split.inputs[0]], group=parts[1])
    if images and len(parts) == 6 and parts[4:] == source[2:]:
        mode, block = {(0, 1, 4, 2, 5, 3): ("CRD", parts[2:4]), (0, 3, 4, 1, 5, 2): ("DCR", parts[1:3])}.get(
            tuple(order), ("", (0, 1))
        )
        if block[0] == block[1] and end[2:] == (source[2] * block[0], source[3] * block[0]):
            return _as(node, "DepthToSpace", [split.inputs[0]], mode=mode, blocksize=block[0])
    return None


@pattern("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
def stacked(finder: Finder, node: Node) -> Node | None:
    """Tensors that are stacked on a new axis, which is then reduced, are a Sum, Mean, Max or Min of them."""
    joined = finder.made_by(node.inputs[0], "Concat", alone=True)
    if joined is None or node.attrs.get("keepdims", 1) or finder.graph.shapes.get(joined.outputs[0]) is None:
        return None
    parts = [finder.made_by(name, "Unsqueeze") for name in joined.inputs]
    rank = len(finder.graph.shapes[joined.outputs[0]])
    axis = int(joined.attrs.get("axis", 0)) % rank
    added = [read_axes(finder, part, rank) for part in parts if part]
    if read_axes(finder, node, rank) != [axis] or added != [[axis]] * len(parts):
        return None
    return _as(node, node.op.removeprefix("Reduce"), [part.inputs[0] for part in parts if part])


@pattern("Reshape")
def group_normalization(finder: Finder, node: Node) -> Node | None:
    """An InstanceNormalization of channels that are reshaped to groups, and back, is a GroupNormalization."""
    inner = finder.made_by(node.inputs[0], "InstanceNormalization", alone=True)
    split = finder.made_by(inner.inputs[0], "Reshape", alone=True) if inner else None
    if inner is None or split is None:
        return None
    source, parts, end = (finder.graph.shapes.get(one) for one in (split.inputs[0], split.outputs[0], node.outputs[0]))
    if source is None or parts is None or source != end or len(parts) != 3 or len(source) != 4:
        return None
    if parts[0] != source[0] or source[1] % parts[1]:
        return None
    inputs = [split.inputs[0], *inner.inputs[1:]]
    return _as(node, "GroupNormalization", inputs, num_groups=parts[1], epsilon=inner.attrs.get("epsilon", 1e-5))


@pattern("Add", "Mul")
def layer_normalization(finder: Finder, node: Node) -> Node | None:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias over the last axis is a LayerNormalization."""
    scale, offset, core = None, None, node
    if node.op == "Add":
        offset, core_name = _vector_and_tensor(finder, node)
        product = finder.made_by(core_name, "Mul", alone=True) if core_name else None
        if product is None:
            return None
        core = product
    scale, core_name = _vector_and_tensor(finder, core)
    ratio = finder.made_by(core_name, "Div", alone=True) if core_name else None
    root = finder.made_by(ratio.inputs[1], "Sqrt", alone=True) if ratio else None
    total = finder.made_by(root.inputs[0], "Add", alone=True) if root else None
    inner = finder.find_number(total) if total else None
    mean_of_squares = finder.made_by(inner[0], "ReduceMean") if inner else None
    square = finder.made_by(mean_of_squares.inputs[0], "Pow", "Mul") if mean_of_squares else None
    if ratio is None or inner is None or square is None or square.inputs[0] != ratio.inputs[0]:
        return None
    if (square.op == "Pow" and finder.number(square.inputs[1]) != 2.0) or (
        square.op == "Mul" and len(set(square.inputs)) > 1
    ):
        return None
    centred = finder.made_by(ratio.inputs[0], "Sub")
    mean = finder.made_by(centred.inputs[1], "ReduceMean") if centred else None
    if centred is None or mean is None or mean.inputs[0] != centred.inputs[0] or mean_of_squares is None:
        return None
    rank = len(finder.graph.shapes.get(centred.inputs[0], ()))
    if any(read_axes(finder, one, rank) != [rank - 1] for one in (mean, mean_of_squares)) or scale is None:
        return None
    inputs = [centred.inputs[0], scale, *([offset] if offset else [])]
    return _as(node, "LayerNormalization", inputs, epsilon=inner[1], axis=-1)


def _vector_and_tensor(finder: Finder, node: Node) -> tuple[str | None, str | None]:
    for one, other in (node.inputs, node.inputs[::-1]):
        value = finder.constant(one)
        if value is not None and value.ndim == 1 and value.size > 1:
            return one, other
    return None, None


def read_axes(finder: Finder, node: Node, rank: int) -> list[int]:
    """Return the axes that a Reduce... node reduces, counted from 0."""
    given = finder.constant(node.input(1)) if node.input(1) else node.attrs.get("axes")
    axes = range(rank) if given is None else [int(axis) % max(rank, 1) for axis in np.asarray(given).reshape(-1)]
    return sorted(axes)
