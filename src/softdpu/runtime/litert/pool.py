"""Pooling: the largest number, and the average as a convolution with equal weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ai_edge_litert.schema_py_generated import Padding

from softdpu.numbers import fixed_point
from softdpu.runtime.litert.conv import Filters, convolution, pad, same_pads, steps_of
from softdpu.runtime.litert.lowering import Held, Lowering, NotExactError, lowering
from softdpu.runtime.litert.model import Operator, option
from softdpu.runtime.litert.movement import move, put_reshaped, source_of
from softdpu.runtime.program import Node


@lowering("pool-fix")
def pool(model: Lowering, node: Node) -> None:
    """MAX_POOL_2D, or for AVG a convolution whose weights are all n."""
    kind = node.attrs.get("type")
    if kind not in ("MAX", "AVG"):
        raise NotExactError(f"pooling type {kind}")
    if kind == "MAX":
        _max_pool(model, node)
        return
    height, width = node.pair("kernel")
    if height * width > 1024:
        raise NotExactError(f"average over {height}x{width}")
    factor, shift = fixed_point.average_pool_factor(height, width)
    channels = node.input.shape[3]
    if node.input.shape[1:3] == (height, width) and not any(node.pads()):
        _global_average(model, node, factor, shift)
        return
    weights = np.full((1, height, width, channels), factor, np.int8)
    options = {**steps_of(node), "depthMultiplier": 1}
    convolution(model, node, Filters(Operator.DEPTHWISE_CONV_2D, weights, 3, shift, np.zeros(channels), options))


def _global_average(model: Lowering, node: Node, factor: int, shift: int) -> None:
    """One window over everything: a matrix product with a row of n, several times faster than a depthwise one."""
    batch, height, width, channels = node.input.shape
    pixels, held = height * width, model.get(node.input)

    shape = (batch, pixels, channels)
    rows = model.reshape(held.index, model.int8(node.input, held.zero, shape), shape)
    columns = model.int8(node.input, held.zero, (batch, channels, pixels))
    model.builder.operator(Operator.TRANSPOSE, [rows, model.ints((0, 2, 1))], [columns], option("Transpose"))
    source = replace(node.input, key=node.key + " columns", shape=(batch, channels, 1, pixels))
    index = model.reshape(columns, model.int8(source, held.zero), source.shape)
    model.held[source.key] = replace(held, index=index)
    sums = replace(node.output, key=node.key + " sums", shape=(batch, channels, 1, 1))
    steps = {"strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    weights = np.full((1, 1, 1, pixels), factor, np.int8)
    convolution(
        model,
        replace(node, key=sums.key, inputs={"input": (source,)}, output=sums),
        Filters(Operator.CONV_2D, weights, 0, shift, np.zeros(1), steps),
    )
    put_reshaped(model, node, model.held[sums.key].index, model.held[sums.key])


def _max_pool(model: Lowering, node: Node) -> None:
    """MAX_POOL_2D; pads that are not TensorFlow's SAME become a border of -128."""
    held, value = source_of(model, node)
    kernel, stride, pads = node.pair("kernel"), node.pair("stride"), node.pads()
    padding = Padding.VALID
    if any(pads) and pads == same_pads(node, kernel):
        padding = Padding.SAME
    elif any(pads):
        held = Held(pad(model, value, model.plain(value), pads, -128), 0, held.positive)
    options = option(
        "Pool2D",
        padding=padding,
        strideH=stride[0],
        strideW=stride[1],
        filterHeight=kernel[0],
        filterWidth=kernel[1],
    )
    move(model, node, Operator.MAX_POOL_2D, [held.index], held, options)
