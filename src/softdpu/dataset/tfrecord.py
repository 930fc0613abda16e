"""The file format TFRecord: one file holds any number of byte strings, each with its length and two checksums.

Each entry is: length (uint64), masked CRC-32C of the length (uint32), data, masked CRC-32C of the data (uint32), all
little-endian. Source: TensorFlow's guide "TFRecord and tf.train.Example", section "TFRecords format details".
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.output.files import PathLike

try:
    from google_crc32c import value as crc32c
except ImportError:  # AMD's container has no such module; records are then read there without checking the data
    crc32c = None

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of `data` as TFRecord stores it: rotated right by 15 bits plus 0xA282EAD8, modulo 2**32."""
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def append(file: BinaryIO, data: bytes) -> None:
    """Write one entry to an open file."""
    length = struct.pack("<Q", len(data))
    file.write(length + _FOOTER.pack(masked_crc(length)))
    file.write(data)
    file.write(_FOOTER.pack(masked_crc(data)))


class Entry(NamedTuple):
    """Where the data of one entry is: byte `offset` and `length` in the file at `path`."""

    path: str
    offset: int
    length: int


def index(path: PathLike) -> list[Entry]:
    """List the entries of a file, reading only the lengths.

    Raises:
        SoftdpuError: if the file is missing, truncated, or no TFRecord file.
    """
    path = os.fspath(path)
    entries = []
    try:
        file = open(files.open_file(path), "rb")  # noqa: SIM115 - closed by the with below; only a failure to open is told here
    except OSError as error:
        raise SoftdpuError(f"cannot read the records {path}: {error.strerror}; make them first") from None
    with file:
        size = os.fstat(file.fileno()).st_size
        position = 0
        while position < size:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise _broken(path, position, "its header is cut off")
            length, crc = _HEADER.unpack(header)
            if crc32c is not None and crc != masked_crc(header[:8]):
                raise _broken(path, position, "the checksum of its length is wrong")
            if position + _HEADER.size + length + _FOOTER.size > size:
                raise _broken(path, position, f"it ends after byte {size}, the end of the file")
            entries.append(Entry(path, position + _HEADER.size, length))
            position += _HEADER.size + length + _FOOTER.size
            file.seek(position)
    return entries


def checksums(path: PathLike) -> bytes:
    """Return length and stored checksum of each entry of a file, 12 bytes each: what tells its contents from others.

    Raises:
        SoftdpuError: as `index`.
    """
    entries = index(path)
    with open(path, "rb") as file:
        found = [os.pread(file.fileno(), _FOOTER.size, entry.offset + entry.length) for entry in entries]
    return b"".join(struct.pack("<Q", entry.length) + crc for entry, crc in zip(entries, found))  # noqa: B905


def read(file: int, entry: Entry) -> bytes:
    """Return the data of one entry of the open file descriptor `file`; safe from several threads at once.

    Raises:
        SoftdpuError: if the checksum is wrong or the file has become shorter.
    """
    data = os.pread(file, entry.length + _FOOTER.size, entry.offset)
    if len(data) != entry.length + _FOOTER.size:
        raise _broken(entry.path, entry.offset - _HEADER.size, "the file has become shorter")
    content, (crc,) = data[: entry.length], _FOOTER.unpack(data[entry.length :])
    if crc32c is not None and crc != masked_crc(content):
        raise _broken(entry.path, entry.offset - _HEADER.size, "the checksum of its data is wrong")
    return content


def _broken(path: str, position: int, why: str) -> SoftdpuError:
    return SoftdpuError(f"{path}: the TFRecord at byte {position} is broken, {why}; delete the file and build it again")
