"""Inputs that are no image: a .npz file an example, with an array for each input of the network, as the network has it.

This is for networks with several inputs, or with other channels than an image's. No scaling is done: the numbers are
what the network takes. An array may have its channels first, as PyTorch's have, or one more axis of length 1 in front.
The .npz is read here and not by numpy's loader, which makes room for what a damaged header declares.
"""

from __future__ import annotations

import functools
import io
import operator
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Mapping  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np
from numpy.lib import format as npy

from softdpu.output.text import as_layer_name

MOST_BYTES = 1 << 28  # of the arrays of one example
MOST_INPUTS = 64
_KINDS = "bfiu"  # booleans, floating point numbers, integers
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # by savez and savez_compressed


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network: their names, and their shapes without the batch."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


def read(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file by name.

    Raises:
        ValueError: if it is none, or holds anything but finite numbers, or more than MOST_BYTES.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if any(member.compress_type not in _PACKED for member in members):
                raise ValueError("arrays packed by another method than numpy's; write it with numpy.savez")
            size = sum(member.file_size for member in members)
            if len(members) > MOST_INPUTS or size > MOST_BYTES:
                raise ValueError(f"{len(members)} arrays of {size} bytes; at most {MOST_INPUTS} of {MOST_BYTES}")
            found = {_name(member): _read_member(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not a .npz file that can be read ({error})") from None
    if not found or len(found) != len(members):
        raise ValueError("a .npz file without arrays" if not found else "two arrays of one name")
    return found


def _name(member: zipfile.ZipInfo) -> str:
    if not member.filename.endswith(".npy"):
        raise ValueError(f"the file {member.filename!r}, where arrays were expected")
    return member.filename[: -len(".npy")]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = _name(member)
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"array {name!r} is in version {version} of the format")
        read_header: Any = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            shape, by_column, dtype = read_header(file)
        except Exception as error:  # whatever Python's parser raises, which numpy lets read it
            raise ValueError(f"array {name!r} has a broken header ({type(error).__name__})") from None
        if dtype.kind not in _KINDS or dtype.itemsize > 8:
            raise ValueError(f"array {name!r} is of type {dtype}; expected real numbers of at most 64 bits")
        numbers = file.read()
    if any(not isinstance(length, int) or length < 1 for length in shape) or len(shape) > 8:
        raise ValueError(f"array {name!r} has the shape {shape}")
    if functools.reduce(operator.mul, shape, dtype.itemsize) != len(numbers):
        raise ValueError(f"array {name!r} of shape {shape} has {len(numbers)} bytes of {dtype}")
    with np.errstate(over="ignore"):  # it is found below
        values = np.frombuffer(numbers, dtype).reshape(shape, order="F" if by_column else "C").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"array {name!r} has numbers that are not finite in float32")
    return values


def write(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the .npz file of some arrays; equal arrays give equal bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # with a date of its own, as numpy has it
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w") as opened:
                npy.write_array(opened, np.asarray(array, order="C"), allow_pickle=False)
    return file.getvalue()


def fit(found: Mapping[str, np.ndarray], inputs: Inputs) -> list[np.ndarray]:
    """Return an array for each input, float32 without the batch, from those of an example.

    They go by name, their own or the one that Keras gives them. The only array of a network with one input may have
    any name.

    Raises:
        ValueError: if one is missing, or of another shape.
    """
    if len(inputs.names) == len(found) == 1:
        found = {inputs.names[0]: next(iter(found.values()))}
    chosen = [_find(found, name) for name in inputs.names]
    missing = [name for name, array in zip(inputs.names, chosen) if array is None]  # noqa: B905
    if missing:
        raise ValueError(f"no array {', '.join(missing)}; the network takes {', '.join(inputs.names)}, the file has "
                         f"{', '.join(found)}")  # fmt: skip
    return [
        _shape(name, array, shape)
        for name, array, shape in zip(inputs.names, chosen, inputs.shapes)  # noqa: B905 - strict is not in Python 3.7
        if array is not None
    ]


def _find(found: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    """Return the array of an input, None if there is none: of an .onnx, /left:0 is what Keras calls left_0."""
    if name in found:
        return found[name]
    alike = [array for known, array in found.items() if as_layer_name(known) == as_layer_name(name) != ""]
    return alike[0] if len(alike) == 1 else None


def _shape(name: str, array: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    if array.shape[:1] == (1,) and array.ndim == len(wanted) + 1:
        array = array[0]
    if array.shape != wanted and array.ndim == len(wanted) > 1:
        last = np.moveaxis(array, 0, -1)  # channels first
        array = last if last.shape == wanted else array
    if array.shape != wanted:
        raise ValueError(f"array {name} has the shape {array.shape}, the network takes {wanted}")
    return np.ascontiguousarray(array, np.float32)
