"""How Dense, a matrix product, reads as a convolution of the DPU.

A Dense on a flattened image is a convolution whose kernel covers the image, if the DPU's kernel limits allow; any other
is a 1 x 1 convolution over an image of one pixel a row. The result is reshaped back where it had fewer dimensions.
`compiler/names.py` numbers the tensors that are made here.
"""

from __future__ import annotations

import math

import numpy as np

from softdpu.compiler.chain import Chain, NotForDpu, fused_attributes
from softdpu.compiler.constants import make_integer_constant
from softdpu.compiler.limits import conv_fits
from softdpu.compiler.names import DENSE, INSERTED, RESHAPED
from softdpu.compiler.op_graph import Op
from softdpu.compiler.registry import rule


@rule("matmul", fuses=True)
def matmul(chain: Chain) -> Op:
    """Dense with its activation: conv2d-fix, then reshape-fix where the result is not an image already."""
    core = chain.core
    source, weights = chain.inputs["input"]
    if weights.kind != "const-fix" or core.attrs["transpose_a"] or core.attrs["transpose_b"]:
        raise NotForDpu("a product of two computed matrices: the DPU multiplies by constants only (Dense)")
    assert weights.data is not None and weights.fix is not None
    image, (height, width, channels) = _as_image(chain, source, *weights.data.shape)
    kernel = weights.data.reshape(height, width, channels, -1).transpose(3, 0, 1, 2)
    name = core.name + DENSE
    constant = make_integer_constant(
        f"{weights.name}(reshaped)",
        f"{weights.name}(reshaped){INSERTED}0",
        np.ascontiguousarray(kernel),
        weights.fix,
        core.layer,
    )
    attrs = {
        "kernel": [width, height],
        "stride": [1, 1],
        "dilation": [1, 1],
        "pad": [0, 0, 0, 0],
        "group": 1,
        **fused_attributes(chain.activation),
    }
    shape = (1, image.shape[1] // height, image.shape[2] // width, kernel.shape[0])
    is_image = shape == core.shape
    inserted = f"{name}{INSERTED}1"
    op = chain.op("conv2d-fix", attrs, name, chain.tensor if is_image else inserted)
    op.inputs = {"input": [image], "weights": [constant], **{k: v for k, v in chain.inputs.items() if k == "bias"}}
    op.shape = shape
    if is_image:
        return op
    result = Op(inserted + RESHAPED, "reshape-fix", {"input": [op]}, {"shape": list(core.shape)}, core.shape)
    result.tensor, result.fix, result.layer, result.quant = chain.tensor, chain.fix, core.layer, dict(chain.quant)
    return result


def _as_image(chain: Chain, source: Op, length: int, outputs: int) -> tuple[Op, tuple[int, int, int]]:
    """Return the image that the convolution reads, and the kernel's (height, width, channels)."""
    flat = source
    while source.kind == "reshape-fix" and len(source.shape) != 4:
        source = source.input
    if len(source.shape) == 4 and source is not flat and math.prod(source.shape) == length:
        _, height, width, channels = source.shape
        if conv_fits(chain.dpu, height, width, channels, outputs):
            return source, (height, width, channels)
    if len(flat.shape) == 4:
        return flat, (1, 1, length)
    shape = (1, 1, math.prod(flat.shape) // length, length)
    if len(source.shape) == 4 and source.shape == shape:
        return source, (1, 1, length)
    name = flat.tensor + RESHAPED
    reshaped = Op(name, "reshape-fix", {"input": [flat]}, {"shape": list(shape)}, shape, "", flat.fix)
    reshaped.layer = chain.core.layer
    return reshaped, (1, 1, length)
