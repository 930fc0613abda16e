"""The registry of emitters, and what they share: activations, and how tensors of several layouts meet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.qdq.qdq_graph import FLAT, NCHW, NHWC, QdqGraph
from softdpu.export.source import is_integer
from softdpu.extensions import enter
from softdpu.numbers import fixed_point
from softdpu.runtime.program import Node, Value

Made = tuple[str, str]  # a float tensor and its layout
Emitter = Callable[[QdqGraph, Node], Made]
EMITTERS: dict[str, Emitter] = {}
_LEAKY_BITS = 7  # the DPU's slope is 13 / 2**7


def emitter(*kinds: str) -> Callable[[Emitter], Emitter]:
    """Register what makes the ONNX nodes of op types. It returns the result before it is quantized."""
    return enter(EMITTERS, kinds)


def activation_of(node: Node) -> str:
    """Return the attribute `nonlinear`."""
    return str(node.attrs.get("nonlinear") or "NONE")


def activate(g: QdqGraph, node: Node, tensor: str, unit: int | None = None) -> str:
    """Return a tensor after the op's activation.

    Args:
        g: the graph.
        node: the op.
        tensor: its sum or product.
        unit: of which that is a multiple, 2**-unit, where ties are still to be made round up; None where they are.

    Raises:
        SoftdpuError: for an activation that ONNX has not.
    """
    kind = activation_of(node)
    if unit is not None and kind != "LEAKYRELU":
        tensor = g.half_up(tensor, unit, node)
    if kind == "NONE":
        return tensor
    name = f"{node.key}_{kind.lower()}"
    if kind in ("RELU", "RELU6"):
        if g.flavour.pair_before_activation and is_integer(node.output):
            tensor = g.pair_inside(tensor, node.output.position)
        return relu(g, node, tensor, name) if kind == "RELU" else relu6(g, node, tensor, name)
    if kind == "LEAKYRELU":
        bent = g.node("LeakyRelu", [tensor], name, alpha=fixed_point.LEAKY_RELU_ALPHA)
        return bent if unit is None else g.half_up(bent, unit + _LEAKY_BITS, node)
    if kind in ("HSIGMOID", "HSWISH"):
        return _fused_hard(g, node, tensor, kind)
    raise SoftdpuError(f"op '{node.key}' has nonlinear {kind}, which has no equivalent in ONNX")


def relu(g: QdqGraph, node: Node, tensor: str, name: str) -> str:
    """Return max(x, 0)."""
    return g.node("Relu", [tensor], name)


def relu6(g: QdqGraph, node: Node, tensor: str, name: str) -> str:
    """Return min(max(x, 0), 6); Relu alone where the flavour wants it and int8 ends at or below 6."""
    ends = is_integer(node.output) and fixed_point.QMAX * 2.0**-node.output.position <= 6
    if g.flavour.relu_for_relu6 and ends:
        return g.node("Relu", [tensor], name)
    return g.node("Clip", [tensor, g.number(f"{name}_min", 0.0), g.number(f"{name}_max", 6.0)], name)


def hard_sigmoid(g: QdqGraph, tensor: str, name: str, position: int) -> str:
    """Return the DPU's hard sigmoid, (x + 3) * 2731 / 2**14 from 0 on; int8's end at `position` is its upper end."""
    scale = fixed_point.HARD_SIGMOID_SCALE * 2.0**-fixed_point.HARD_SIGMOID_SHIFT
    if position >= 7:  # 1 is past int8's end: the upper end of HardSigmoid does not matter
        gate = g.node("HardSigmoid", [tensor], name, alpha=float(np.float32(1 / 6)), beta=0.5)
        return g.node("Mul", [gate, g.number(f"{name}_scale", scale * 6)], f"{name}_dpu")
    raised = g.node("Add", [tensor, g.number(f"{name}_three", 3.0)], f"{name}_plus_three")
    scaled = g.node("Mul", [raised, g.number(f"{name}_scale", scale)], f"{name}_scaled")
    return g.node("Relu", [scaled], name)


def _fused_hard(g: QdqGraph, node: Node, tensor: str, kind: str) -> str:
    """Return HSIGMOID or HSWISH of what is first rounded to hsigmoid_in."""
    entry = int(node.attr("hsigmoid_in"))
    middle = fixed_point.HARD_SIGMOID_SHIFT + entry - int(node.attr("shift_hsigmoid"))
    x = g.pair_inside(tensor, entry)
    gate = hard_sigmoid(g, x, f"{node.key}_{kind.lower()}", middle)
    if kind == "HSIGMOID":
        return gate if middle == node.output.position else g.pair_inside(gate, middle)
    if g.flavour.dedicated_pairs:
        x = g.pair(tensor, entry)
    product = g.node("Mul", [x, g.pair_inside(gate, middle)], f"{node.key}_product")
    return g.half_up(product, entry + middle, node)


def common_layout(g: QdqGraph, values: tuple[Value, ...]) -> str:
    """Return the layout in which values meet: NCHW where one of four axes is at hand so and all have four axes."""
    ranks = {len(value.shape) for value in values}
    if 4 not in ranks:
        return FLAT
    single = all(len(value.shape) == 4 or int(np.prod(value.shape)) == 1 for value in values)
    computed = [value for value in values if value.key not in g.constants and len(value.shape) == 4]
    if single and any(g.layout_of(value) == NCHW for value in computed):
        return NCHW
    return NHWC


def axis_in(axis: int, rank: int, layout: str) -> int:
    """Return where an axis of the DPU's order is in a layout."""
    axis %= rank
    return (0, 2, 3, 1)[axis] if layout == NCHW else axis
