"""A caller's buffers: what they must be, and how float ones become the DPU's integers and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from softdpu.numbers import fixed_point
from vart.errors import VartError
from xir import Tensor


def arrays(buffers: Any, tensors: Sequence[Tensor], what: str, dynamic: bool) -> list[np.ndarray]:
    """Return arrays on the caller's buffers, one a tensor, shaped [images, ...] as the tensor is.

    Args:
        buffers: a list of numpy arrays, TensorBuffers or other writable buffers, in the order of the tensors.
        tensors: the runner's, with its batch in dims[0].
        what: "input" or "output", for messages.
        dynamic: accept fewer images than the batch.

    Raises:
        VartError: for a wrong number of buffers, or a buffer of wrong type, size, order, or read-only.
    """
    if not isinstance(buffers, (list, tuple)):
        raise VartError(f"{what}s must be a list of buffers, one a tensor, got {type(buffers).__name__}")
    if len(buffers) != len(tensors):
        names = ", ".join(tensor.name for tensor in tensors)
        raise VartError(f"expected {len(tensors)} {what} buffers ({names}), got {len(buffers)}")
    return [_array(buffer, tensor, what, dynamic) for buffer, tensor in zip(buffers, tensors)]


def _array(buffer: Any, tensor: Tensor, what: str, dynamic: bool) -> np.ndarray:
    label = f"{what} '{tensor.name}'"
    array = _as_array(buffer, label)
    types = [_type(tensor)] if _type(tensor) == np.float32 else [_type(tensor), np.dtype(np.float32)]
    expected = f"expected {' or '.join(map(str, types))} of shape {tensor.dims}"
    if array.dtype not in types:
        raise VartError(f"{label}: {expected}, got {array.dtype}")
    if not array.flags.c_contiguous:
        raise VartError(f"{label}: expected a C-contiguous array, got strides {array.strides}: np.ascontiguousarray it")
    if not array.flags.writeable:
        raise VartError(f"{label}: expected a writable array, got a read-only one: pass a copy")
    batch, image = tensor.dims[0], tuple(tensor.dims[1:])
    images, rest = divmod(array.size, int(np.prod(image)))
    if rest or not images or images > batch or (images < batch and not dynamic):
        hint = " (or fewer images with enable_dynamic_array=True)" if not rest and 0 < images < batch else ""
        raise VartError(f"{label}: {expected}{hint}, got shape {list(array.shape)}")
    return array.reshape(images, *image)


def _as_array(buffer: Any, label: str) -> np.ndarray:
    if isinstance(buffer, np.ndarray):
        return buffer
    if hasattr(buffer, "__array_interface__"):
        return np.asarray(buffer)
    try:
        return np.asarray(memoryview(buffer))
    except TypeError:
        raise VartError(f"{label}: expected a numpy array or a buffer, got {type(buffer).__name__}") from None


def _type(tensor: Tensor) -> np.dtype[Any]:
    return np.dtype(tensor.dtype.lstrip("x"))


def to_device(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return the numbers that the DPU reads from a buffer.

    A float buffer of an integer tensor is multiplied by 2**fix_point and cut towards zero, as AMD's runner does.
    Numbers past int8, where AMD's conversion is undefined, saturate here.

    Raises:
        VartError: for NaN, which is no number.
    """
    if array.dtype == _type(tensor):
        return array
    if np.isnan(array).any():
        raise VartError(f"input '{tensor.name}': it has NaN, expected numbers: look at what computes it")
    scaled = np.ldexp(array, int(tensor.get_attr("fix_point")))
    return fixed_point.saturate(np.trunc(scaled))


def from_device(array: np.ndarray, tensor: Tensor, target: np.ndarray) -> None:
    """Write the DPU's numbers into a caller's buffer of another type: real = q * 2**-fix_point."""
    target[...] = fixed_point.dequantize(array, int(tensor.get_attr("fix_point")))
