"""Sums, products and functions of one number."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.qdq.emit import Made, activate, common_layout, emitter, hard_sigmoid, relu, relu6
from softdpu.export.qdq.qdq_graph import QdqGraph
from softdpu.export.source import is_integer
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node
from softdpu.runtime.reference.activation import slopes_of

_OPS = {"ADD": "Add", "MUL": "Mul", "SUB": "Sub", "DIV": "Div", "MIN": "Min", "MAX": "Max"}
_KINDS = {"eltwise-fix": "ADD", "depthwise-fix": "MUL"}


@emitter("eltwise-fix", "depthwise-fix", "add", "mul", "sub", "div", "min", "max")
def arithmetic(g: QdqGraph, node: Node) -> Made:
    """Add, Mul and so on, one after the other where there are more than two inputs."""
    kind = str(node.attrs.get("type") or _KINDS.get(node.kind, node.kind.upper()))
    if kind not in _OPS:
        raise SoftdpuError(f"op '{node.key}' has the type {kind}, which has no equivalent in ONNX")
    values = node.inputs["input"]
    layout = common_layout(g, values)
    total = g.read_real(values[0], layout)
    for number, value in enumerate(values[1:], 1):
        name = node.key if number == len(values) - 1 else f"{node.key}_part{number}"
        total = g.node(_OPS[kind], [total, g.read_real(value, layout)], name)
    unit = None
    if is_integer(node.output) and all(value.fix_point is not None for value in values):
        positions = [value.position for value in values]
        unit = sum(positions) if kind == "MUL" else max(positions)
    return activate(g, node, total, unit), layout


def _function(g: QdqGraph, node: Node, op: str, **attrs: Any) -> Made:
    layout = g.layout_of(node.input)
    return g.node(op, [g.read_real(node.input, layout)], node.key, **attrs), layout


_HARD_SIGMOID: dict[str, Any] = {"alpha": float(np.float32(1 / 6)), "beta": 0.5}  # min(max(x + 3, 0), 6) / 6
for _kind, _op in {"tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "neg": "Neg"}.items():
    emitter(_kind)(partial(_function, op=_op))
emitter("hard-sigmoid")(partial(_function, op="HardSigmoid", **_HARD_SIGMOID))
emitter("selu")(partial(_function, op="Selu", alpha=1.6732632423543772, gamma=1.0507009873554805))


@emitter("relu", "relu-fix", "relu6", "relu6-fix")
def rectifier(g: QdqGraph, node: Node) -> Made:
    """Relu or Clip(0, 6)."""
    layout = g.layout_of(node.input)
    make = relu6 if node.kind.startswith("relu6") else relu
    tensor = make(g, node, g.read_real(node.input, layout), node.key)
    return _move_to_output(g, node, tensor), layout


@emitter("leaky-relu", "leaky-relu-fix")
def leaky_relu(g: QdqGraph, node: Node) -> Made:
    """LeakyRelu."""
    alpha = float(node.attrs.get("alpha", fixed_point.LEAKY_RELU_ALPHA))
    tensor, layout = _function(g, node, "LeakyRelu", alpha=alpha)
    if node.input.fix_point is None:
        return tensor, layout
    return g.half_up(tensor, node.input.position + 16, node), layout  # slopes have 16 binary digits there


@emitter("elu")
def elu(g: QdqGraph, node: Node) -> Made:
    """Elu."""
    return _function(g, node, "Elu", alpha=float(node.attrs.get("alpha", 1.0)))


@emitter("softmax")
def softmax(g: QdqGraph, node: Node) -> Made:
    """Softmax along the DPU's last axis, in that order of axes."""
    layout = "nhwc" if len(node.input.shape) == 4 else ""
    return g.node("Softmax", [g.read_real(node.input, layout)], node.key, axis=int(node.attrs.get("axis", -1))), layout


@emitter("hard-sigmoid-fix")
def hard_sigmoid_fix(g: QdqGraph, node: Node) -> Made:
    """The DPU's sigmoid."""
    entry = int(node.attrs.get("hsigmoid_in", node.input.position))
    cut = int(node.attrs.get("shift_hsigmoid", fixed_point.HARD_SIGMOID_SHIFT + entry - node.output.position))
    end = fixed_point.HARD_SIGMOID_SHIFT + entry - cut
    if entry != node.input.position or end != node.output.position:
        raise SoftdpuError(f"op '{node.key}' changes positions on its way, which has no equivalent in ONNX")
    layout = g.layout_of(node.input)
    return hard_sigmoid(g, g.read_real(node.input, layout), node.key, end), layout


@emitter("swish", "hard-swish")
def swish(g: QdqGraph, node: Node) -> Made:
    """The input times its sigmoid."""
    layout = g.layout_of(node.input)
    source = g.read_real(node.input, layout)
    op, attrs = ("Sigmoid", {}) if node.kind == "swish" else ("HardSigmoid", _HARD_SIGMOID)
    gate = g.node(op, [source], f"{node.key}_gate", **attrs)
    return g.node("Mul", [source, gate], node.key), layout


@emitter("mish")
def mish(g: QdqGraph, node: Node) -> Made:
    """x * tanh(softplus(x))."""
    layout = g.layout_of(node.input)
    source = g.read_real(node.input, layout)
    soft = g.node("Softplus", [source], f"{node.key}_softplus")
    return g.node("Mul", [source, g.node("Tanh", [soft], f"{node.key}_tanh")], node.key), layout


@emitter("gelu")
def gelu(g: QdqGraph, node: Node) -> Made:
    """x / 2 * (1 + erf(x / sqrt(2)))."""
    layout = g.layout_of(node.input)
    source = g.read_real(node.input, layout)
    scaled = g.node("Mul", [source, g.number(f"{node.key}_root", 2**-0.5)], f"{node.key}_scaled")
    curve = g.node("Erf", [scaled], f"{node.key}_erf")
    raised = g.node("Add", [curve, g.number(f"{node.key}_one", 1.0)], f"{node.key}_raised")
    half = g.node("Mul", [source, g.number(f"{node.key}_half", 0.5)], f"{node.key}_part")
    return g.node("Mul", [half, raised], node.key), layout


@emitter("hard-tanh")
def hard_tanh(g: QdqGraph, node: Node) -> Made:
    """Clip(-1, 1)."""
    layout = g.layout_of(node.input)
    ends = [g.number(f"{node.key}_min", -1.0), g.number(f"{node.key}_max", 1.0)]
    return g.node("Clip", [g.read_real(node.input, layout), *ends], node.key), layout


@emitter("prelu", "prelu-fix")
def prelu(g: QdqGraph, node: Node) -> Made:
    """PRelu, whose slopes broadcast against the input."""
    weight = slopes_of(node)
    array = g.array(weight)
    rank = len(node.input.shape)
    layout = g.layout_of(node.input)
    slopes = array.reshape((1,) * (rank - array.ndim) + array.shape)
    slopes = slopes.transpose(0, 3, 1, 2) if layout == "nchw" else slopes
    tensor = g.node("PRelu", [g.read_real(node.input, layout), g.weights(weight, slopes)], node.key)
    if None not in (node.input.fix_point, weight.fix_point):
        tensor = g.half_up(tensor, node.input.position + weight.position, node)
    return tensor, layout


def _move_to_output(g: QdqGraph, node: Node, tensor: str) -> str:
    """Make ties round up where an op of int8 only changes the position."""
    if is_integer(node.output) and node.input.fix_point is not None:
        return g.half_up(tensor, node.input.position, node)
    return tensor
