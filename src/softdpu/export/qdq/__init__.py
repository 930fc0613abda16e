"""QDQ ONNX: int8 tensors as pairs QuantizeLinear, DequantizeLinear around float operations.

A QuantizeLinear rounds half to even, the DPU half up: on exact ties they differ by one step. The tie-free form raises
every sum by less than the smallest step between two sums, so that there are no ties and both round alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import ModelProto, TensorProto, helper, shape_inference

from softdpu.errors import SoftdpuError
from softdpu.export.qdq import (
    conv,  # noqa: F401 - importing these fills the registry
    elementwise,  # noqa: F401
    movement,  # noqa: F401
    pool,  # noqa: F401
)
from softdpu.export.qdq.emit import EMITTERS
from softdpu.export.qdq.flavours import FLAVOURS, Flavour
from softdpu.export.qdq.qdq_graph import FLAT, NCHW, NHWC, Place, QdqGraph
from softdpu.export.source import Source, is_integer, set_batch
from softdpu.runtime.program import Node, Program, Value

OPSETS = range(13, 22)
DEFAULT_OPSET = 17
_IR_VERSIONS = {13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
_ALIASES = ("upload", "download", "identity", "fix2float")
_FROM_FLOAT = "float2fix"
_MOVES = ("reshape", "flatten", "squeeze", "transpose", "strided_slice", "maxpool2d")


@dataclass(frozen=True)
class QdqModel:
    """A finished ONNX model.

    Attributes:
        proto: the model.
        places: by op, the float tensor that is rounded to its int8 output.
        program: what it computes, one image a run.
    """

    proto: ModelProto
    places: dict[str, Place]
    program: Program


def build_qdq(
    source: Source,
    flavour: Flavour | str,
    *,
    opset: int = DEFAULT_OPSET,
    batch: int | None = None,
    layout: str = NHWC,
    tie_free: bool = True,
) -> QdqModel:
    """Return a network as QDQ ONNX.

    Args:
        source: the network.
        flavour: xint8 or vint8.
        opset: 13 to 21.
        batch: images per run; None leaves it free.
        layout: of images in and out: "nhwc" as in Keras, or "nchw".
        tie_free: round half up exactly as the DPU; biases are then int32, else int8.

    Raises:
        SoftdpuError: an opset out of range, or an op that has no equivalent, by name.
    """
    if opset not in OPSETS:
        raise SoftdpuError(f"expected an opset from {OPSETS.start} to {OPSETS.stop - 1}, got {opset}")
    chosen = FLAVOURS[flavour] if isinstance(flavour, str) else flavour
    program = source.program
    g = QdqGraph(program.constants, chosen, opset, tie_free)
    inputs = [_input(g, value, batch, layout) for value in program.inputs]
    for value in program.outputs:
        g.reserve(value.name)
    for node in program.nodes:
        _emit(g, node)
    outputs = [_output(g, program, value, batch, layout) for value in program.outputs]
    graph = helper.make_graph(g.nodes, program.name or "main", inputs, outputs, g.initializers)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSIONS[opset],
        producer_name="softdpu",
    )
    ties = "half up, by the tie-free form" if tie_free else "half to even"
    facts = {**source.provenance(), "softdpu.format": chosen.name, "softdpu.layout": layout, "softdpu.rounding": ties}
    helper.set_model_props(model, facts)
    model = shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    onnx.checker.check_model(model, full_check=True)
    return QdqModel(model, g.places, set_batch(program, 1))


def serialize(model: ModelProto) -> bytes:
    """Return the bytes of a model; equal models give equal bytes."""
    return model.SerializeToString(deterministic=True)


def _dims(value: Value, batch: int | None, layout: str) -> list[int | str]:
    rest = value.shape[1:]
    rest = (rest[2], rest[0], rest[1]) if layout == NCHW and len(value.shape) == 4 else rest
    return [batch or "N", *rest]


def _input(g: QdqGraph, value: Value, batch: int | None, layout: str) -> onnx.ValueInfoProto:
    """Add an input of floats; images are turned before they are quantized."""
    name = tensor = g.reserve(value.name)
    made = layout if len(value.shape) == 4 else FLAT
    if made == NHWC:
        tensor, made = g.node("Transpose", [tensor], f"{name}_nchw", perm=(0, 3, 1, 2)), NCHW
    if g.tie_free and is_integer(value):
        tensor = g.floor_to(tensor, value.position, name)
    g.put_input(value, tensor, made)
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, _dims(value, batch, layout))


def _emit(g: QdqGraph, node: Node) -> None:
    """Add the nodes of an op."""
    if node.kind in _ALIASES and node.input.key not in g.constants:
        same = node.output.fix_point in (None, node.input.fix_point)
        if same:
            g.alias(node, node.input)
            return
    if node.kind == _FROM_FLOAT or node.kind in _ALIASES:
        layout = g.layout_of(node.input)
        tensor = g.read_real(node.input, layout)
        if node.kind == _FROM_FLOAT and g.tie_free:
            g.note_rounded(tensor, node.output.position)
            tensor = g.floor_to(tensor, node.output.position, node.key)
        g.put(node, tensor, layout)
        return
    if node.kind not in EMITTERS:
        raise SoftdpuError(f"op '{node.key}' of type {node.kind} has no equivalent in ONNX")
    tensor, layout = EMITTERS[node.kind](g, node)
    source = g.held.get(node.input.key)
    if node.kind in _MOVES and not is_integer(node.output) and source is not None and source.position is not None:
        g.put_on_grid(node, tensor, layout, source.position)
    else:
        g.put(node, tensor, layout)


def _output(g: QdqGraph, program: Program, value: Value, batch: int | None, layout: str) -> onnx.ValueInfoProto:
    """Give an output its name: behind a pair where it is int8."""
    wanted = layout if len(value.shape) == 4 else FLAT
    tensor = g.source(value, wanted)
    position = g.held[value.key].position
    if position is not None:
        tensor = g.pair(tensor, position)
    if any(tensor == other.name for other in program.inputs):
        raise SoftdpuError(f"output '{value.name}' is an input of the network: there is nothing to export")
    g.rename(tensor, value.name)
    return helper.make_tensor_value_info(value.name, TensorProto.FLOAT, _dims(value, batch, layout))
