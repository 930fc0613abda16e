"""The numbers that a const op holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xir.errors import XirError

if TYPE_CHECKING:
    import numpy as np

    from xir.op import Op

_NUMPY_KINDS = {"int": "i", "xint": "i", "uint": "u", "xuint": "u", "float": "f"}


def const_data(op: Op) -> np.ndarray:
    """Return the numbers of a "const" or "const-fix" op in its output's shape.

    Inside a compiled DPU subgraph the bytes are kept in the subgraph's parameters, not in the op.

    Raises:
        XirError: when the op holds no data, or not as many bytes as its shape and data type need.
    """
    import numpy as np

    tensor = op.get_output_tensor()
    data = op.get_attr("data")
    kind = _NUMPY_KINDS.get(tensor._dtype.type.name.lower(), "no")
    try:
        dtype = np.dtype(f"<{kind}{tensor._dtype.bit_width / 8:g}")
    except TypeError:
        raise XirError(f"op '{op.get_name()}' ({op.get_type()}) is {tensor.dtype}, which numpy does not have") from None
    needed = math.prod(tensor.dims) * dtype.itemsize
    if not isinstance(data, bytes) or len(data) != needed or min(tensor.dims, default=1) < 1:
        held = f"{len(data)} bytes" if isinstance(data, bytes) else type(data).__name__
        raise XirError(
            f"op '{op.get_name()}' ({op.get_type()}) holds {held}, its shape {tensor.dims} of {tensor.dtype} "
            f"needs {needed}"
        )
    return np.frombuffer(data, dtype).reshape(tensor.dims)
