"""What the functions of several families need."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.registry import Refused
from softdpu.onnx_import.value import NHWC, Value


def same(value: Value, tensor: Any, not_negative: bool = False) -> Value:
    """Return a value like `value`, of the numbers in `tensor`."""
    return dataclasses.replace(value, tensor=tensor, not_negative=not_negative)


def align(value: Value, constant: np.ndarray) -> np.ndarray:
    """Return a constant that broadcasts against a tensor of the file, in the order of the Keras tensor.

    Raises:
        Refused: if it has more axes than the tensor, or differs over the images of a batch.
    """
    while constant.ndim > value.rank and constant.shape[0] == 1:
        constant = constant[0]
    if constant.ndim > value.rank:
        raise Refused(f"adds an axis by a constant of {constant.ndim} dimensions")
    spread = constant.reshape((1,) * (value.rank - constant.ndim) + constant.shape)
    if spread.shape[value.order[0]] != 1:
        spread = np.moveaxis(spread, value.order[0], 0)
        if not (spread == spread[:1]).all():
            raise Refused("has a constant that differs over the images of a batch")
        spread = np.moveaxis(spread[:1], 0, value.order[0])
    turned = spread.transpose(value.order)
    return turned[..., value.mixed] if value.mixed is not None and turned.shape[-1] > 1 else turned


def pair(node: Node, key: str, default: int = 1) -> tuple[int, int]:
    """Return an attribute of two numbers, down and across."""
    given = node.attrs.get(key) or [default, default]
    if len(given) != 2:
        raise Refused(f"works on {len(given)} dimensions; two are known")
    return int(given[0]), int(given[1])


Pads = tuple[tuple[int, int], tuple[int, int]]  # (before, after) of rows, of columns
NO_PADS: Pads = ((0, 0), (0, 0))


def read_pads(node: Node, sizes: tuple[int, int], reach: tuple[int, int], strides: tuple[int, int]) -> Pads:
    """Return the padding of a window that reaches over `reach` pixels, auto_pad worked out."""
    mode = node.attrs.get("auto_pad", "NOTSET")
    if mode == "VALID":
        return NO_PADS
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        found = [same_pads(sizes[axis], reach[axis], strides[axis]) for axis in (0, 1)]
        turned = [pads[::-1] if mode == "SAME_LOWER" else pads for pads in found]
        return turned[0], turned[1]
    top, left, bottom, right = node.attrs.get("pads") or [0, 0, 0, 0]
    if min(top, left, bottom, right) < 0:
        raise Refused("has negative pads")
    return (top, bottom), (left, right)


def same_pads(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's padding `same` in one direction."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def is_same(pads: Pads, sizes: tuple[int, int], reach: tuple[int, int], strides: tuple[int, int]) -> bool:
    """Tell whether a padding is what Keras' `same` does."""
    return all(pads[axis] == same_pads(sizes[axis], reach[axis], strides[axis]) for axis in (0, 1))


def pad_with_zeros(build: Lowering, node: Node, tensor: Any, pads: Pads) -> Any:
    """Return a tensor with zeros around its images."""
    return tensor if pads == NO_PADS else build.layer(node, "ZeroPadding2D", tensor, "pad", padding=pads)


def image_value(build: Lowering, node: Node, tensor: Any, not_negative: bool = False) -> Value:
    """Return the value of an NHWC tensor that `node` makes."""
    height, width, channels = tensor.shape[1:]
    return Value(tensor, (build.graph.batch, channels, height, width), NHWC, not_negative)


def convolve(
    build: Lowering,
    node: Node,
    tensor: Any,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    suffix: str = "",
    **config: Any,
) -> Any:
    """Return what a Conv2D of this kernel (height, width, in, out) makes."""
    weights = [kernel] if bias is None else [kernel, bias]
    return build.layer(
        node,
        "Conv2D",
        tensor,
        suffix,
        weights,
        filters=kernel.shape[3],
        kernel_size=kernel.shape[:2],
        use_bias=bias is not None,
        kernel_initializer="zeros",
        **config,
    )


def choose_channels(build: Lowering, node: Node, value: Value, indices: list[int], suffix: str = "") -> Any:
    """Return an image of the channels `indices` (-1 for zeros): a 1 x 1 convolution of ones and zeros, for the DPU."""
    channels = value.keras_shape[-1]
    kernel = np.zeros((1, 1, channels, len(indices)), np.float32)
    for place, index in enumerate(indices):
        if index >= 0:
            kernel[0, 0, index, place] = 1
    return convolve(build, node, value.tensor, kernel, None, suffix)
