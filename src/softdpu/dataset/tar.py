"""Tar archives read where they lie: their members' places in the file, never a file written.

An archive may lie inside another one, as ImageNet's training set has it, so everything works on a window of a file.
tarfile takes a broken header in the middle for the end of the archive; here that is an error.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from softdpu.errors import SoftdpuError
from softdpu.output import files

_BLOCK = 512


class Window(NamedTuple):
    """Bytes `offset` to `offset + size` of the open file descriptor `file`; `name` is for messages."""

    file: int
    offset: int
    size: int
    name: str

    def read(self) -> bytes:
        """Return all its bytes.

        Raises:
            SoftdpuError: if the file has fewer.
        """
        data = os.pread(self.file, self.size, self.offset)
        if len(data) != self.size:
            raise SoftdpuError(f"{self.name} is cut off: {self.size} bytes were expected, {len(data)} came")
        return data

    def sha256(self) -> str:
        """Return the SHA-256 of its bytes."""
        digest = hashlib.sha256()
        for start in range(0, self.size, 1 << 20):
            digest.update(os.pread(self.file, min(1 << 20, self.size - start), self.offset + start))
        return digest.hexdigest()


class Member(NamedTuple):
    """A member of an archive. problem: why it is no plain file with a harmless name, or ""."""

    name: str
    window: Window
    problem: str


def open_file(path: Path) -> Window:
    """Open a whole file for reading; the descriptor stays open as long as the process.

    Raises:
        SoftdpuError: if it cannot be read.
    """
    try:
        file = files.open_file(path)
    except OSError as error:
        raise SoftdpuError(f"cannot read {path}: {error.strerror}") from None
    return Window(file, 0, os.fstat(file).st_size, str(path))


def list_members(archive: Window) -> Iterator[Member]:
    """Yield the members of an archive in their order, without folders; memory does not grow with their number.

    Raises:
        SoftdpuError: if it is no tar archive, or is broken or cut off anywhere.
    """
    stream = _Stream(archive)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if not info.isdir():
                    window = Window(
                        archive.file, archive.offset + info.offset_data, info.size, f"{archive.name}: {info.name}"
                    )
                    yield Member(info.name, window, _problem(info))
            end = tar.offset
    except tarfile.TarError as error:
        raise SoftdpuError(f"{archive.name} is no whole tar archive: {error} ({archive.size} bytes)") from None
    if os.pread(archive.file, _BLOCK, archive.offset + end) != bytes(_BLOCK) or end + _BLOCK > archive.size:
        raise SoftdpuError(f"{archive.name} is broken or cut off: no member and no end at byte {end} of {archive.size}")


def _problem(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return f"a link to {info.linkname}"
    if not info.isreg() or info.issparse():
        return "not a plain file"
    if info.name.startswith("/") or ".." in info.name.split("/"):
        return "its name leads out of the archive"
    return ""


class _Stream(io.RawIOBase):
    """A window as the file object that tarfile reads headers from."""

    def __init__(self, window: Window) -> None:
        self._window, self._position = window, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._window.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._window.size - self._position)
        size = left if size < 0 else min(size, left)
        data = os.pread(self._window.file, size, self._window.offset + self._position)
        self._position += len(data)
        return data
