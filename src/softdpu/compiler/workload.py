"""How much work an operation is: counted operations, and the same rounded up to the DPU's parallelism.

Convolutions count 2 for each product and 1 for each bias, pooling 1 for each pixel of a window; on the architecture the
width is rounded up to the pixels, and the channels to the channels, that the engine computes at once. AMD's files agree
for convolution and pooling; sums of tensors count 1 for each addition here.
"""

from __future__ import annotations

import math

from softdpu.compiler.op_graph import Op
from softdpu.numbers.boards import Dpu


def uses_augmentation(op: Op, dpu: Dpu) -> bool:
    """Whether the first layer packs the columns of its kernel into input channels, as it has few of them."""
    if op.kind != "conv2d-fix" or not dpu.augmentation or op.input.kind != "upload":
        return False
    channels = op.inputs["weights"][0].shape[3]
    return channels < dpu.input_channel and op.attrs["kernel"][0] * channels <= dpu.augmentation


def compute_workload(op: Op, dpu: Dpu) -> tuple[int, int] | None:
    """Return (workload, workload_on_arch) of an operation; None for one that has none."""
    if op.kind in ("conv2d-fix", "transposed-conv2d-fix"):
        return _convolution(op, dpu)
    if op.kind == "depthwise-conv2d-fix":
        width, height = op.attrs["kernel"]
        return _pixels(op, dpu, 2 * width * height + ("bias" in op.inputs))
    if op.kind == "transposed-depthwise-conv2d-fix":  # only one in stride x stride taps meets a pixel
        taps = math.prod(op.attrs["kernel"]) // math.prod(op.attrs["stride"])
        return _pixels(op, dpu, 2 * taps + ("bias" in op.inputs))
    if op.kind == "pool-fix":
        width, height = op.attrs["kernel"]
        return _pixels(op, dpu, width * height)
    if op.kind in ("eltwise-fix", "depthwise-fix") and len(op.inputs["input"]) > 1:
        return _pixels(op, dpu, len(op.inputs["input"]) - 1)
    return None


def _up(number: int, step: int) -> int:
    return -(-number // step) * step if step else number


def _convolution(op: Op, dpu: Dpu) -> tuple[int, int]:
    _, height, width, outputs = op.shape
    _, rows, columns, channels = op.inputs["weights"][0].shape
    bias = int("bias" in op.inputs)
    taps = columns * channels
    packed = columns * _up(channels, dpu.input_channel)
    if uses_augmentation(op, dpu):
        packed = _up(taps, dpu.input_channel)
    plain = height * width * outputs * (2 * rows * taps + bias)
    on_arch = height * _up(width, dpu.pixel) * _up(outputs, dpu.output_channel) * (2 * rows * packed + bias)
    if op.kind == "transposed-conv2d-fix":  # only one in stride x stride taps meets a pixel
        stride = math.prod(op.attrs["stride"])
        return plain // stride, on_arch // stride
    return plain, on_arch


def _pixels(op: Op, dpu: Dpu, each: int) -> tuple[int, int]:
    *_, height, width, channels = (1, 1, *op.shape)[-4:]
    on_arch = height * _up(width, dpu.alu_pixel) * _up(channels, dpu.input_channel) * each
    return height * width * channels * each, on_arch
