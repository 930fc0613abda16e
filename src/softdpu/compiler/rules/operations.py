"""How each chain of float operations reads as an integer operation of the DPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softdpu.compiler.chain import ACTIVATIONS, Chain, NotForDpu, check_slope, fused_attributes
from softdpu.compiler.op_graph import DPU_ROUND, Fix, Op
from softdpu.compiler.registry import mover, rule
from softdpu.compiler.rules.layers_in_other_form import bilinear, check_bilinear, spread_multiplier
from softdpu.numbers import fixed_point


@rule("conv2d", "depthwise-conv2d", fuses=True)
def convolution(chain: Chain) -> Op:
    """Convolution, plain or depthwise, with its activation; the padding written out."""
    core = chain.core
    attrs = {key: core.attrs[key] for key in ("kernel", "stride", "dilation")}
    attrs |= {"pad": explicit_pad(core), **fused_attributes(chain.activation)}
    if "group" in core.attrs:
        attrs["group"] = core.attrs["group"]
    full = spread_multiplier(chain)
    if full:
        op = chain.op("conv2d-fix", {**attrs, "group": 1})
        op.inputs = full
        return op
    return chain.op(core.kind + "-fix", attrs)


@rule("transposed-conv2d", fuses=True)
def transposed_convolution(chain: Chain) -> Op:
    """Transposed convolution; the pad is what is cut off the full result, left and top first the smaller half."""
    core = chain.core
    kernel, stride = core.attrs["kernel"], core.attrs["stride"]
    pad: list[int] = []
    for axis in (0, 1):
        size_in, size_out = core.input.shape[2 - axis], core.shape[2 - axis]
        cut = (size_in - 1) * stride[axis] + kernel[axis] - size_out
        before = max(cut, 0) // 2 if core.attrs["pad_mode"] == "SAME" else 0
        pad += [before, cut - before]
    attrs = {"kernel": kernel, "stride": stride, "dilation": core.attrs["dilation"], "pad": pad}
    return chain.op(core.kind + "-fix", attrs | fused_attributes(chain.activation))


def explicit_pad(op: Op) -> list[int]:
    """Return {left, right, top, bottom} of a window: for SAME as TensorFlow pads, the odd one right and below."""
    if op.attrs["pad_mode"] != "SAME":
        return list(op.attrs.get("pad", [0, 0, 0, 0]))
    pad: list[int] = []
    for axis in (0, 1):
        kernel, stride = op.attrs["kernel"][axis], op.attrs["stride"][axis]
        reach = (kernel - 1) * op.attrs.get("dilation", [1, 1])[axis] + 1
        size_in, size_out = op.input.shape[2 - axis], op.shape[2 - axis]
        total = max((size_out - 1) * stride + reach - size_in, 0)
        pad += [total // 2, total - total // 2]
    return pad


@rule("maxpool2d")
def max_pooling(chain: Chain) -> Op:
    """Maximum at the input's position; a shift follows where the output has another."""
    core = chain.core
    attrs = {"kernel": core.attrs["kernel"], "stride": core.attrs["stride"], "pad": explicit_pad(core), "type": "MAX"}
    return keep_position(chain, "pool-fix", attrs)


@rule("avgpool2d")
def average_pooling(chain: Chain) -> Op:
    """Average as sum * n / 2**m, where the layer's factor is the DPU's."""
    core = chain.core
    if any(explicit_pad(core)):
        raise NotForDpu("average pooling with padding divides by the covered pixels only: use padding='valid'")
    width, height = core.attrs["kernel"]
    if max(height, width) > 255:
        raise NotForDpu(f"average pooling over {height} x {width}: the DPU has windows up to 255; pool in two steps")
    source = chain.input
    side = math.lcm(height, width)
    is_square_of_rectangle = side <= 8 and core.shape[1:3] == (1, 1) and _factor(side, side) == chain.factor
    if _factor(height, width) != chain.factor and is_square_of_rectangle:
        source = _stretch(source, side // height, side // width, core)
        height = width = side
    if _factor(height, width) != chain.factor:
        raise NotForDpu(f"average pooling over {height} x {width} whose factor is not the DPU's: use a square window")
    attrs = {"kernel": [width, height], "stride": core.attrs["stride"], "pad": [0, 0, 0, 0], "type": "AVG"}
    op = chain.op("pool-fix", attrs)
    op.inputs = {"input": [source]}
    return op


def _factor(height: int, width: int) -> float:
    n, m = fixed_point.average_pool_factor(height, width)
    return float(np.float32(height * width * n / 2**m))  # as the front end stores it


def _stretch(source: Op, down: int, across: int, core: Op) -> Op:
    """Repeat pixels so that a rectangle becomes a square with the same mean."""
    batch, height, width, channels = source.shape
    attrs = {
        "scale": [float(across), float(down)],
        "mode": "NEAREST",
        "align_corners": False,
        "half_pixel_centers": True,
    }
    shape = (batch, height * down, width * across, channels)
    return Op(
        core.name + "_squared", "upsample-fix", {"input": [source]}, attrs, shape, "", source.fix, None, core.layer
    )


@rule("add", "mul", fuses=True)
def elementwise(chain: Chain) -> Op:
    """Sum or product, with its activation."""
    core = chain.core
    if core.kind == "mul" and len(chain.inputs["input"]) != 2:
        raise NotForDpu(f"a product of {len(chain.inputs['input'])} tensors: multiply two at a time")
    kind = {"add": "ADD", "mul": "MUL"}[core.kind]
    by_channel = _map_and_channels(chain.inputs["input"])
    if by_channel and chain.activation == "NONE":
        op = chain.op("depthwise-fix", {"type": kind})
        op.inputs = {"input": by_channel}
        return op
    return chain.op("eltwise-fix", {"type": kind, "nonlinear": chain.activation})


def _map_and_channels(sources: list[Op]) -> list[Op]:
    """Return [feature map, one number per channel] if the two operands are that, in either order; else nothing."""
    if len(sources) != 2:
        return []
    for image, numbers in (sources, sources[::-1]):
        if len(image.shape) == 4 and numbers.shape == (1, 1, 1, image.shape[3]) and image.shape[1:3] != (1, 1):
            return [image, numbers]
    return []


@rule("relu", "relu6", "leaky-relu")
def activation_alone(chain: Chain) -> Op:
    """An activation of a tensor that is rounded already: a sum of one tensor."""
    if chain.core.kind == "leaky-relu":
        check_slope(chain.core)
    return chain.op("eltwise-fix", {"type": "ADD", "nonlinear": ACTIVATIONS[chain.core.kind]})


@rule("hard-sigmoid")
def hard_sigmoid(chain: Chain) -> Op:
    """The DPU's sigmoid: round(max(0, q * 2731 + 3 * 2731 * 2**fi) / 2**shift)."""
    scale = 6 * fixed_point.HARD_SIGMOID_SCALE / 2**fixed_point.HARD_SIGMOID_SHIFT
    if chain.factor != float(np.float32(scale)):
        raise NotForDpu("a hard sigmoid other than the DPU's relu6(x + 3) * 2731 / 2**14: quantize a sigmoid instead")
    assert chain.input.fix is not None
    entry = chain.input.fix.position
    shift = fixed_point.HARD_SIGMOID_SHIFT + entry - chain.fix.position
    if shift < 0 or chain.fix.position < 7:
        raise NotForDpu(
            f"hard sigmoid from position {entry} to {chain.fix.position}: the DPU needs a shift of 0 or more"
        )
    return chain.op("hard-sigmoid-fix", {"hsigmoid_in": entry, "shift_hsigmoid": shift})


@rule("concat")
def concatenation(chain: Chain) -> Op:
    """Concatenation; inputs at another position get a shift in front."""
    shifted: dict[Op, Op] = {}
    sources: list[Op] = []
    for source in chain.inputs["input"]:
        if source not in shifted:
            shifted[source] = align(source, chain.fix, chain.core)
        sources.append(shifted[source])
    op = chain.op("concat-fix", {"axis": chain.core.attrs["axis"]})
    op.inputs = {"input": sources}
    return op


def align(source: Op, fix: Fix, reader: Op) -> Op:
    """Return `source`, or a sum of it alone that brings it to the position of `fix`."""
    assert source.fix is not None
    if source.fix.position == fix.position:
        return source
    attrs = {"type": "ADD", "nonlinear": "NONE"}
    name = f"{source.name}_{reader.name}_FixShifter"
    return Op(name, "eltwise-fix", {"input": [source]}, attrs, source.shape, "", fix, None, reader.layer)


@rule("resize")
def upsampling(chain: Chain) -> Op:
    """Nearest-neighbour upsampling by whole numbers, bilinear by 2 and 4."""
    core = chain.core
    if core.attrs["mode"] == "BILINEAR":
        check_bilinear(chain)
        return bilinear(chain)
    if core.attrs["mode"] != "NEAREST" or any(scale != int(scale) for scale in core.attrs["scale"]):
        raise NotForDpu(
            f"{core.attrs['mode'].lower()} upsampling: the DPU has nearest and bilinear; use interpolation='nearest'"
        )
    keys = ("scale", "mode", "align_corners", "half_pixel_centers")
    return keep_position(chain, "upsample-fix", {key: core.attrs[key] for key in keys})


def keep_position(chain: Chain, kind: str, attrs: dict[str, Any]) -> Op:
    """Return an operation that keeps the input's position, and a shift to the output's where they differ.

    Rounding never decreases as its argument grows, so the maximum may come before it.
    """
    source = chain.input
    assert source.fix is not None
    if source.fix.position == chain.fix.position:
        return chain.op(kind, attrs)
    op = chain.op(kind, attrs, tensor=chain.core.name + "_before_shift")
    op.fix, op.quant = Fix(source.fix.position, 8, DPU_ROUND), {}
    return Op(
        chain.core.name + "_FixShifter",
        "eltwise-fix",
        {"input": [op]},
        {"type": "ADD", "nonlinear": "NONE"},
        op.shape,
        chain.tensor,
        chain.fix,
        None,
        chain.core.layer,
        dict(chain.quant),
    )


@mover("pad")
def pad(op: Op, source: Op) -> Op:
    """Zero padding of an integer tensor."""
    attrs = {"paddings": op.attrs["paddings"], "mode": op.attrs["mode"], "constant_values": b""}
    return _mover(op, source, "pad-fix", attrs | _marks(op))


@mover("reshape", "flatten")
def reshape(op: Op, source: Op) -> Op:
    """Reshape or flatten of an integer tensor."""
    return _mover(op, source, "reshape-fix", {"shape": list(op.shape), **_marks(op)})


@mover("transpose")
def transpose(op: Op, source: Op) -> Op:
    """Permutation of an integer tensor, which the CPU does."""
    return _mover(op, source, "transpose", dict(op.attrs))


def _mover(op: Op, source: Op, kind: str, attrs: dict[str, Any]) -> Op:
    return Op(op.name, kind, {"input": [source]}, attrs, op.shape, op.tensor, source.fix, None, op.layer)


def _marks(op: Op) -> dict[str, Any]:
    return {key: value for key, value in op.attrs.items() if key.startswith("quant_")}
