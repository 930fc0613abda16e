"""A tensor of the Keras model and how its axes lie against those of the ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from softdpu.onnx_import.onnx_graph import Shape

NHWC = (0, 2, 3, 1)


@dataclass(frozen=True)
class Value:
    """A Keras tensor that stands for an ONNX tensor.

    A Transpose of the file changes `order` alone; numbers are moved only where an operation needs another order.

    Attributes:
        tensor: of Keras, the batch first.
        shape: of the ONNX tensor.
        order: the axis of the ONNX tensor that each axis of the Keras tensor is; (0, 2, 3, 1) for images.
        not_negative: no number in it can be below 0.
        mixed: of a flattened image, the position in the ONNX vector that each number of the Keras vector has; None if
            they are the same.
    """

    tensor: Any
    shape: Shape
    order: tuple[int, ...]
    not_negative: bool = False
    mixed: np.ndarray | None = None

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def keras_shape(self) -> Shape:
        """The shape in the order of the Keras tensor, with the file's batch."""
        return tuple(self.shape[axis] for axis in self.order)

    def keras_axis(self, axis: int) -> int:
        """Return where an axis of the ONNX tensor lies in the Keras tensor."""
        return self.order.index(axis % self.rank)


def image_order(rank: int) -> tuple[int, ...]:
    """Return the order that Keras' layers want: batch, then what moves, then channels."""
    return (0, *range(2, rank), 1) if rank > 2 else tuple(range(rank))
