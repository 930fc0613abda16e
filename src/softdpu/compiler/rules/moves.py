"""Operations that choose or move numbers and need no rounding of their own: crops, the largest of an image, blocks."""

from __future__ import annotations

import math

from softdpu.compiler.limits import MAX_CHANNEL_GROUPS
from softdpu.compiler.op_graph import Graph, Op
from softdpu.compiler.registry import check, mover
from softdpu.numbers.boards import Dpu


@mover("strided_slice")
def strided_slice(op: Op, source: Op) -> Op:
    """Every n-th row and column between two: a crop."""
    attrs = {key: op.attrs[key] for key in ("begin", "end", "strides")}
    return Op(op.name, "strided_slice-fix", {"input": [source]}, attrs, op.shape, op.tensor, source.fix, None, op.layer)


@check("strided_slice-fix")
def _slice(op: Op, dpu: Dpu) -> str:
    """AMD's tools have it since 3.0, with a stride of 1 over images and channels."""
    advice = "leave it out, or pad less before it"
    if not dpu.vitis_ai or any(int(version.split(".")[0]) < 3 for version in dpu.vitis_ai):
        return f"cropping runs on the CPU before Vitis AI 3.0: {advice}"
    if len(op.shape) != 4 or op.shape[3] != op.input.shape[3]:
        return "cropping of anything but rows and columns runs on the CPU: use convolutions with fewer outputs"
    return ""


@mover("maxpool2d")
def global_maximum(op: Op, source: Op) -> Op | None:
    """The largest number of an image, where no rounding follows; pooling with a window is rounded as its layer says."""
    if not op.attrs["global"]:
        return None
    attrs = {"kernel": op.attrs["kernel"], "stride": [1, 1], "pad": [0, 0, 0, 0], "type": "MAX"}
    return Op(op.name, "pool-fix", {"input": [source]}, attrs, op.shape, op.tensor, source.fix, None, op.layer)


def join_blocks(graph: Graph) -> Graph:
    """Make one operation of reshape, transpose, reshape where they are depth_to_space or space_to_depth.

    That is blocks of n x n pixels from channels in the order row, column, channel, or back: the DPU's tile.
    """
    readers, outputs = graph.consumers(), set(graph.outputs)
    replaced: dict[Op, Op] = {}
    for last in graph.ops:
        turn = last.input if last.kind == "reshape-fix" else None
        cut = turn.input if turn is not None and turn.kind == "transpose" else None
        if turn is None or cut is None or cut.kind != "reshape-fix" or outputs & {turn, cut}:
            continue
        alone = len(readers[turn]) == len(readers[cut]) == 1
        source = replaced.get(cut.input, cut.input)
        step = _block(source.shape, cut.shape, last.shape) if turn.attrs["order"] == [0, 1, 3, 2, 4, 5] else 0
        if alone and step and last.fix == source.fix:
            attrs = {"stride": step, "reverse": last.shape[3] < source.shape[3]}
            op = Op(last.name, "tile-fix", {"input": [source]}, attrs, last.shape, last.tensor, last.fix)
            op.layer, op.quant = last.layer, dict(last.quant)
            replaced[last] = op
    return graph.rewire(replaced).drop_unused()


def _block(source: tuple[int, ...], cut: tuple[int, ...], last: tuple[int, ...]) -> int:
    """Return the side of the blocks that a reshape to `cut`, its axes 2 and 3 swapped, moves; 0 if it is none."""
    if not len(source) == len(last) == 4 or len(cut) != 6 or math.prod(source) != math.prod(last):
        return 0
    batch, height, width, channels = source
    for step, expected in (
        (cut[3], (batch, height, width, cut[3], cut[3], channels // cut[3] ** 2)),
        (cut[2], (batch, height // cut[2], cut[2], width // cut[2], cut[2], channels)),
    ):
        grown = (batch, height * step, width * step, channels // step**2)
        shrunk = (batch, height // step, width // step, channels * step**2)
        if step > 1 and cut == expected and last == (grown if expected[1] == height else shrunk):
            return step
    return 0


@check("tile-fix")
def _tile(op: Op, dpu: Dpu) -> str:
    most = MAX_CHANNEL_GROUPS * dpu.input_channel
    channels = max(op.input.shape[3], op.shape[3])
    return f"blocks of {channels} channels: {dpu.name} takes {most}; use smaller blocks" if channels > most else ""
