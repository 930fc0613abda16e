"""Members of a .keras archive, read after their sizes are checked: a few kilobytes can declare gigabytes."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from typing import Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import h5py

from softdpu.errors import SoftdpuError
from softdpu.keras2 import hdf5
from softdpu.output.files import PathLike

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
START = b"PK"
# What Python's zipfile raises for a damaged archive.
DAMAGED = (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, OverflowError, ValueError, KeyError)


def member(path: PathLike, name: str, look: bool = False) -> bytes:
    """Return the bytes of a member of the archive at `path`, or none to only `look` whether it could be read.

    Raises:
        SoftdpuError: if there is none, it is encrypted, damaged, or unpacks to far more than it takes in the archive.
    """
    try:
        with zipfile.ZipFile(str(path)) as archive:
            found = archive.getinfo(name)
            _check(found, path)
            return b"" if look else archive.read(found)
    except DAMAGED as error:
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise SoftdpuError(f"{path} is a damaged .keras archive ({name}: {what}); save the model again") from None


def _check(found: zipfile.ZipInfo, path: PathLike) -> None:
    if found.flag_bits & 1:
        raise SoftdpuError(f"{path}: {found.filename} is encrypted; save the model without a password")
    if found.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SoftdpuError(f"{path}: {found.filename} is packed in a way that Keras does not use; save the model again")
    if found.compress_size > os.path.getsize(str(path)):  # zipfile makes room for it before it reads
        raise SoftdpuError(
            f"{path}: {found.filename} has {found.compress_size} bytes, more than the file; save the model again"
        )
    if found.file_size > hdf5.SWELL * found.compress_size + hdf5.SPARE:
        raise SoftdpuError(
            f"{path}: {found.filename} unpacks from {found.compress_size} to {found.file_size} bytes, which no model's"
            " weights do; save the model again"
        )


@contextlib.contextmanager
def weights(path: PathLike) -> Iterator[h5py.File]:
    """Open the weights of the archive at `path`.

    Raises:
        SoftdpuError: as `member` and hdf5.open_checked.
    """
    with hdf5.open_checked(io.BytesIO(member(path, WEIGHTS)), f"{path}: {WEIGHTS}") as file:
        yield file
