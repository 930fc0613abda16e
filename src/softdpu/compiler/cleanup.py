"""Passes on integer operations that change their form but not their meaning."""

from __future__ import annotations

from dataclasses import replace

from softdpu.compiler.limits import pad_fits
from softdpu.compiler.names import MOVED, RESHAPED
from softdpu.compiler.op_graph import Graph, Op
from softdpu.numbers.boards import Dpu

_WINDOWED = ("conv2d-fix", "depthwise-conv2d-fix")
_POINTWISE = ("hard-sigmoid-fix", "eltwise-fix")


def fold_pads(graph: Graph) -> Graph:
    """Add the zeros of a pad-fix to the pad of each convolution that reads it, less what no window reaches.

    More padding than a convolution of the DPU takes stays an operation of its own.
    """
    graph = graph.copy()
    for op in graph.ops:
        if op.kind in _WINDOWED and op.input.kind == "pad-fix" and op.input.attrs["mode"] == "CONSTANT":
            batch_and_rows, channels = op.input.attrs["paddings"][:2], op.input.attrs["paddings"][6:]
            if any(batch_and_rows) or any(channels):
                continue
            top, bottom, left, right = op.input.attrs["paddings"][2:6]
            pad = [own + more for own, more in zip(op.attrs["pad"], (left, right, top, bottom), strict=True)]
            source, wanted = op.input, op.attrs["pad"]
            op.inputs["input"] = [source.input]
            op.attrs["pad"] = _cut_unreached(op, pad)
            if not pad_fits(op.attrs["pad"]):
                op.inputs["input"], op.attrs["pad"] = [source], wanted
    return graph.drop_unused()


def _cut_unreached(op: Op, pad: list[int]) -> list[int]:
    """Return `pad` without the columns and rows after the image that no window covers."""
    for axis in (0, 1):
        reach = (op.attrs["kernel"][axis] - 1) * op.attrs["dilation"][axis] + 1
        last = (op.shape[2 - axis] - 1) * op.attrs["stride"][axis] + reach
        needed = last - op.input.shape[2 - axis] - pad[2 * axis]
        pad[2 * axis + 1] = min(pad[2 * axis + 1], max(needed, 0))
    return pad


def sink_reshapes(graph: Graph) -> Graph:
    """Move a reshape behind the one-tensor operation that reads it, so that the DPU sees the image before it."""
    readers = graph.consumers()
    outputs = set(graph.outputs)
    replaced: dict[Op, Op] = {}
    for op in graph.ops:
        if op.kind not in _POINTWISE or len(op.inputs["input"]) != 1:
            continue
        before = replaced.get(op.input, op.input)
        if before.kind != "reshape-fix" or len(readers.get(op.input, [])) != 1 or op.input in outputs:
            continue
        image = before.input
        name, tensor = op.name + MOVED, op.tensor + MOVED
        moved = replace(op, name=name, inputs={"input": [image]}, shape=image.shape, tensor=tensor)
        attrs = {"shape": list(op.shape)}
        replaced[op] = replace(op, name=tensor + RESHAPED, kind="reshape-fix", inputs={"input": [moved]}, attrs=attrs)
    return graph.rewire(replaced).drop_unused()


def fuse_hard_sigmoid(graph: Graph, dpu: Dpu) -> Graph:
    """Make a hard sigmoid the activation of the convolution before it, on DPUs whose convolution engine has one.

    The convolution then rounds to the position hsigmoid_in first, as it did as an operation of its own.
    """
    if "hsigmoid" not in dpu.conv:
        return graph
    readers = graph.consumers()
    outputs = set(graph.outputs)
    replaced: dict[Op, Op] = {}
    for op in graph.ops:
        conv = op.input if op.kind == "hard-sigmoid-fix" else None
        if conv is None or conv.kind != "conv2d-fix" or conv.attrs["nonlinear"] != "NONE":
            continue
        if len(readers[conv]) != 1 or conv in outputs:
            continue
        source, weights = conv.input.fix, conv.inputs["weights"][0].fix
        assert source and weights and conv.fix
        attrs = {**conv.attrs, "nonlinear": "HSIGMOID", **{k: op.attrs[k] for k in ("hsigmoid_in", "shift_hsigmoid")}}
        attrs["shift_cut"] = source.position + weights.position - conv.fix.position
        if "bias" in conv.inputs:
            bias = conv.inputs["bias"][0].fix
            assert bias
            attrs["shift_bias"] = source.position + weights.position - bias.position
        fused = Op(conv.name, conv.kind, conv.inputs, attrs, op.shape, op.tensor, op.fix, None, conv.layer)
        fused.quant = dict(op.quant)
        replaced[op] = fused
    return graph.rewire(replaced).drop_unused()
