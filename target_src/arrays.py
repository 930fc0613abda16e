"""Inputs that are no image, for app_raw.py: .npz files with an array for each input of the network.

preprocess.json names the array of each input. The numbers are what the network takes, so that they are only quantized:
floor(x * 2**fix_point + 0.5) within -128..127, or as they are for an input of float32.
"""

from __future__ import annotations

import os
import zipfile
from typing import Any

import numpy as np

from runners import CardError, one_line, type_of


class Arrays:
    """File to inputs, in the place of card.Preprocess."""

    def __init__(self, tensors: list[Any], settings: dict[str, Any]) -> None:
        names = settings.get("inputs")
        if not isinstance(names, dict) or any(tensor.name not in names for tensor in tensors):
            wanted = ", ".join(tensor.name for tensor in tensors)
            raise CardError(f"preprocess.json: inputs must name the array of {wanted}; copy it again")
        self.names = [str(names[tensor.name]) for tensor in tensors]
        self.kinds = [(tuple(tensor.dims[1:]), type_of(tensor)) for tensor in tensors]
        self.scales = [
            np.float32(2.0 ** tensor.get_attr("fix_point")) if type_of(tensor) == np.int8 else None
            for tensor in tensors
        ]

    def fill(self, path: str, outputs: list[np.ndarray]) -> None:
        """Read the file at `path` into an array for each input, of its shape and type."""
        if not os.path.isfile(path):
            raise CardError(f"{path} is not a file; remove it from the folder")
        if not zipfile.is_zipfile(path):
            raise CardError(f"{path} is no .npz file; remove it from the folder, or copy it again")
        try:
            with np.load(path, allow_pickle=False) as held:
                for name, scale, output in zip(self.names, self.scales, outputs):
                    output[...] = quantize(held[name], scale, output)
        except Exception as error:  # whatever zipfile, zlib and numpy raise over a damaged file
            raise CardError(f"{path}: expected arrays {', '.join(self.names)} ({one_line(error)})") from None


def quantize(values: np.ndarray, scale: Any, output: np.ndarray) -> np.ndarray:
    """Return real numbers as an input takes them: int8 with a scale, float32 without one."""
    if values.shape != output.shape or values.dtype.kind not in "bfiu":
        raise ValueError(f"{values.dtype} of shape {values.shape}, the network takes numbers of shape {output.shape}")
    real = values.astype(np.float32)
    if not np.isfinite(real).all():
        raise ValueError("numbers that are not finite")
    if scale is None:
        return real
    return np.clip(np.floor(real * scale + np.float32(0.5)), -128, 127)
