"""Layers that the DPU has in another form: PReLU, bilinear upsampling, depthwise convolution with a multiplier."""

from __future__ import annotations

import numpy as np

from softdpu.compiler.chain import Chain, NotForDpu, fused_attributes
from softdpu.compiler.constants import make_integer_constant
from softdpu.compiler.limits import ADVICE, conv_fits
from softdpu.compiler.op_graph import Fix, Op
from softdpu.compiler.registry import check, rule
from softdpu.numbers.boards import Dpu

_BILINEAR = (2, 4)  # AMD's compiler takes these; by 8 the weights' products, up to 225, are past int8


@rule("prelu")
def prelu(chain: Chain) -> Op:
    """max(x, 0) + slope * min(x, 0) with a slope a channel, which the engine for single values computes."""
    slopes, channels = chain.inputs["weight"][0], chain.core.shape[-1]
    if "prelu" not in chain.dpu.other:
        raise NotForDpu(ADVICE["prelu"])
    if len(chain.core.shape) != 4 or slopes.shape[-1] != channels or np.prod(slopes.shape) != channels:
        raise NotForDpu(
            f"PReLU with slopes of shape {slopes.shape}: the DPU has one per channel; use shared_axes=[1, 2]"
        )
    # No version of xir defines it: such an operation has one argument and says its output by attributes.
    op = chain.op("prelu-fix", {"shape": list(chain.core.shape), "data_type": "XINT8"})
    op.inputs = {"input": [chain.input, slopes]}
    return op


@check("prelu-fix")
def _prelu(op: Op, dpu: Dpu) -> str:
    return "" if "prelu" in dpu.other else ADVICE["prelu"]


def spread_multiplier(chain: Chain) -> dict[str, list[Op]]:
    """Return the arguments of the plain convolution that a depthwise one with a multiplier is; {} where it has none.

    The DPU's engine for depthwise convolution has no multiplier. In the other's kernel all is zero that leads from one
    channel to another.
    """
    weights = chain.inputs["weights"][0]
    if chain.core.kind != "depthwise-conv2d" or weights.shape[0] == 1 or weights.data is None:
        return {}
    multiplier, height, width, channels = weights.shape
    if not conv_fits(chain.dpu, height, width, channels, multiplier * channels, max(chain.core.attrs["dilation"])):
        return {}
    assert weights.fix is not None
    full = np.zeros((channels, multiplier, height, width, channels), np.int8)
    for channel in range(channels):
        full[channel, ..., channel] = weights.data[..., channel]
    kernel = full.reshape(channels * multiplier, height, width, channels)
    names = f"{weights.name}(full)", f"{weights.tensor}(full)"
    return {**chain.inputs, "weights": [make_integer_constant(*names, kernel, weights.fix, chain.core.layer)]}


def bilinear(chain: Chain) -> Op:
    """Bilinear upsampling: the edge pixels once more, then a depthwise transposed convolution.

    Its kernel is the triangle 1, 3, ..., 3, 1 of twice the scale in both directions; by 2 and 4 it is whole in int8.
    """
    core, (batch, height, width, channels) = chain.core, chain.input.shape
    scale = int(core.attrs["scale"][0])
    triangle = np.minimum(np.arange(1, 4 * scale, 2), np.arange(4 * scale - 1, 0, -2))
    kernel = np.broadcast_to(np.outer(triangle, triangle)[None, ..., None], (1, 2 * scale, 2 * scale, channels))
    position = 2 * (2 * scale).bit_length() - 2  # 1 / (2 * scale) in each direction
    weights = make_integer_constant(
        f"{core.name}_weights", f"{core.name}_weights_fix", kernel.astype(np.int8), Fix(position, 8), core.layer
    )
    paddings = {"paddings": [0, 0, 1, 1, 1, 1, 0, 0], "mode": "SYMMETRIC", "constant_values": b""}
    grown = (batch, height + 2, width + 2, channels)
    edges = Op(f"{core.name}_edges", "pad-fix", {"input": [chain.input]}, paddings, grown, "", chain.input.fix)
    edges.layer = core.layer
    sides = {"kernel": [2 * scale] * 2, "stride": [scale] * 2, "dilation": [1, 1], "pad": [3 * scale // 2] * 4}
    op = chain.op("transposed-depthwise-conv2d-fix", sides | fused_attributes("NONE"))
    op.inputs = {"input": [edges], "weights": [weights]}
    return op


def check_bilinear(chain: Chain) -> None:
    """Raise NotForDpu unless the DPU has this upsampling."""
    attrs, dpu = chain.core.attrs, chain.dpu
    scales, centred = set(attrs["scale"]), attrs["half_pixel_centers"] and not attrs["align_corners"]
    if len(scales) != 1 or not scales <= set(map(float, _BILINEAR)) or not centred:
        size = " x ".join(f"{scale:g}" for scale in attrs["scale"][::-1])
        raise NotForDpu(
            f"bilinear resizing by {size}: the DPU has UpSampling2D's by 2 x 2 and 4 x 4; use one, or whole factors"
        )
    if "dwconv" not in dpu.limits or 2 not in dpu.limits["dwconv"].kernel:
        raise NotForDpu(f"bilinear upsampling: {dpu.name} has no depthwise kernel of 2; use interpolation='nearest'")


@check("transposed-depthwise-conv2d-fix")
def _transposed_depthwise(op: Op, dpu: Dpu) -> str:
    """The DPU runs it as stride x stride depthwise convolutions of kernel / stride."""
    if "dwconv" not in dpu.limits:
        return f"{dpu.name} has no engine for depthwise convolution: use Conv2DTranspose"
    sides = {-(-size // stride) for size, stride in zip(op.attrs["kernel"], op.attrs["stride"], strict=True)}
    if sides - set(dpu.limits["dwconv"].kernel):
        return f"depthwise transposed convolution of kernel {op.attrs['kernel']}: past {dpu.name}; use a smaller kernel"
    return ""
