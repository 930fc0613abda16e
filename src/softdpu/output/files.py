"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Iterator, Union  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError

PathLike = Union[str, "os.PathLike[str]"]
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_DISK = "the disk of {} is full: free some space and run the same command again, it goes on where it stopped"


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` when the block ends without an error.

    The name keeps the suffix of `path`, because some writers choose their format by it.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix="-" + final.name, dir=str(final.parent))
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        os.replace(str(part), str(final))
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with whole_file(path) as part:
        part.write_bytes(data)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` to `path` as JSON with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of the file at `path`, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def refuse_full_disk(folder: PathLike, at_least: int = 1 << 20) -> None:
    """Check that a program can write to the disk of `folder`, `at_least` so many bytes.

    Raises:
        SoftdpuError: if it cannot.
    """
    if shutil.disk_usage(str(folder)).free < at_least:
        raise SoftdpuError(FULL_DISK.format(folder))
