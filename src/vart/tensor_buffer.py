"""Host memory for one tensor of a runner."""

from __future__ import annotations

from typing import Any

import numpy as np

from xir import Tensor


class TensorBuffer:
    """Zeroed memory in a tensor's shape and data type; `np.asarray(buffer)` is an array on that memory."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._array = np.zeros(tensor.dims, np.dtype(tensor.dtype.lstrip("x")))

    def get_tensor(self) -> Tensor:
        """Return the tensor, with the runner's batch in dims[0]."""
        return self._tensor

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._array.__array_interface__

    def __buffer__(self, flags: int) -> memoryview:
        """Give the memory to `memoryview` (Python 3.12 and later)."""
        return self._array.data

    def __repr__(self) -> str:
        return f"<vart.TensorBuffer of '{self._tensor.name}', shape {self._tensor.dims}, type {self._tensor.dtype}>"
