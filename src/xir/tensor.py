"""Tensors: the output of one op each."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from xir.attributes import AttributeHolder
from xir.data_type import DataType
from xir.errors import XirError

if TYPE_CHECKING:
    from xir.op import Op


class Tensor(AttributeHolder):
    """A name, a shape (NHWC; an unknown dimension is -1), a data type and attributes.

    Graphs make their own tensors; `Tensor.create` is for `Op.replace_output_tensor`.
    """

    __slots__ = ("_dims", "_dtype", "_name", "_old_code", "_producer")

    def __init__(self, name: str, dims: list[int], dtype: DataType, old_code: int | None = None) -> None:
        super().__init__()
        self._name = name
        self._dims = dims
        self._dtype = dtype
        self._old_code = old_code  # how a file of Vitis AI 1.1 numbers the data type; written back unchanged
        self._producer: Op | None = None

    @staticmethod
    def create(name: str, dims: Any, dtype: str | DataType) -> Tensor:
        """Return a new tensor without a producer (AMD has this in C++ only).

        Raises:
            XirError: for a dimension that is no integer or below -1, or an unknown data type.
        """
        try:
            shape = [operator.index(dim) for dim in dims]
        except TypeError:
            raise XirError(f"tensor '{name}': dims must be a list of integers, got {dims!r:.80}") from None
        if any(not -1 <= dim < 2**31 for dim in shape):
            raise XirError(f"tensor '{name}': dims must be from -1 (unknown) to 2147483647, got {shape}")
        return Tensor(name, shape, dtype if isinstance(dtype, DataType) else DataType(dtype))

    @staticmethod
    def clone(tensor: Tensor) -> Tensor:
        """Return a copy of `tensor` without a producer."""
        copy = Tensor(tensor._name, list(tensor._dims), DataType(tensor._dtype.type, tensor._dtype.bit_width))
        copy._attrs = dict(tensor._attrs)
        return copy

    @property
    def name(self) -> str:
        """The tensor's name; it can be set."""
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise XirError(f"{self._label()}: a name must be a str, got {type(name).__name__}")
        self._name = name

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self._dims)

    @property
    def dims(self) -> list[int]:
        """The shape."""
        return list(self._dims)

    @property
    def dtype(self) -> str:
        """The data type's name, such as "xint8"."""
        return self._dtype.name

    @property
    def producer(self) -> Op | None:
        """The op whose output this is."""
        return self._producer

    def get_element_num(self) -> int:
        """Return the number of elements."""
        return math.prod(self._dims)

    def get_data_size(self) -> int:
        """Return the number of bytes: elements times bit width, rounded up to whole bytes."""
        return -(-self.get_element_num() * self._dtype.bit_width // 8)

    def _label(self) -> str:
        return f"tensor '{self._name}'"

    def __hash__(self) -> int:
        return hash(self._producer)

    def __repr__(self) -> str:
        return f"<xir.Tensor named '{self._name}'>"

    def __str__(self) -> str:
        return f"{{name: '{self._name}', shape: {self._dims}, type: '{self.dtype}', attrs: {self.get_attrs()}}}"
