"""Files that appear whole or not at all, and their checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Any, Iterator, Union  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError
from softdpu.output import parts
from softdpu.output.text import one_line

PathLike = Union[str, "os.PathLike[str]"]
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
FULL_DISK = "the disk of {} is full: free some space and run the same command again, it goes on where it stopped"

_OTHER_CONTENT = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, ArithmeticError, RecursionError),
)
_CHECK = "check that the file can be read and its folder written"
_ADVICE = {
    errno.ENOENT: "name a file that is there",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: name another path",
    errno.EEXIST: "a file stands where a folder is needed: name another path, or move the file away",
    errno.EROFS: "the disk is mounted read-only: write to another folder",
    errno.EACCES: "change its permissions, or name another path",
    errno.EPERM: "change its permissions, or name another path",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead in a circle: name the file itself",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}


@contextlib.contextmanager
def whole_file(path: PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to, and rename it to `path` when the block ends without an error.

    The name keeps the suffix of `path`, because some writers choose their format by it. An OSError of the writing names
    `path`. What a link leads to is written, the link stays. What a killed process left beside it is cleared away.

    Raises:
        SoftdpuError: if `path` is a device, a pipe or a socket, whose place a file must not take.
    """
    final = Path(os.path.realpath(str(path))) if os.path.islink(str(path)) else Path(path)
    if final.exists() and not final.is_file() and not final.is_dir():
        raise SoftdpuError(f"{path} is a device, a pipe or a socket: name a file to write to")
    if final.is_dir():  # before the work, not after it
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(final))
    with _naming(final, None):
        final.parent.mkdir(parents=True, exist_ok=True)
        part = parts.make(final)
    try:
        with _naming(final, part):
            yield part
            part.chmod(0o666 & ~_umask())
            os.replace(str(part), str(final))
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def _naming(final: Path, part: Path | None) -> Iterator[None]:
    """Let an OSError of writing `part` name the file that it was to become; h5py's has its number in its text."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            number = re.search(r"errno = (\d+)", str(error))
            if not number:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(final)) from error
        if part is None or error.filename in (None, str(part)):
            error.filename, error.filename2 = str(final), None
        raise


def explain(error: OSError) -> str:
    """Return in one line what an OSError means for the user: which file, what is wrong with it, what to do."""
    name = error.filename if error.filename is not None else error.filename2
    place = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""
    if error.errno in DISK_FULL:
        return FULL_DISK.format(os.path.dirname(os.path.abspath(place)) if place else "the output")
    why = error.strerror or str(error) or type(error).__name__
    return f"{place}: {why}; {_ADVICE.get(error.errno or 0, _CHECK)}" if place else f"{why}; {_CHECK}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_bytes(path: PathLike, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with whole_file(path) as part:
        part.write_bytes(data)


def write_text(path: PathLike, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all; what UTF-8 does not have becomes escape sequences."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: PathLike, value: Any) -> None:
    """Write `value` to `path` as JSON with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


@contextlib.contextmanager
def expecting(path: PathLike, what: str) -> Iterator[None]:
    """Turn what the reading of another content than `what` raises into one line; for files that a program wrote.

    Raises:
        SoftdpuError: for a file that is missing, no JSON, too deep, or of other types, keys or numbers.
    """
    try:
        yield
    except _OTHER_CONTENT as error:
        why = error.strerror or str(error) if isinstance(error, OSError) else repr(error)
        raise SoftdpuError(f"{path}: expected {what} ({one_line(why, 300)}); make it again") from None


def open_file(path: PathLike) -> int:
    """Open a file for reading and return its descriptor; a pipe, which would be waited for, is refused.

    Raises:
        OSError: as os.open, or if it is a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is a folder" if stat.S_ISDIR(mode) else "is a pipe or a device", str(path))
    return descriptor


def sha256(path: PathLike) -> str:
    """Return the SHA-256 of the file at `path`, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def refuse_full_disk(folder: PathLike, at_least: int = 1 << 20) -> None:
    """Check that a program can write to `folder`, `at_least` so many bytes.

    Raises:
        SoftdpuError: if it cannot.
    """
    if not os.access(str(folder), os.W_OK | os.X_OK):
        raise SoftdpuError(f"{folder} cannot be written: change its permissions, or build in a folder of your own")
    if shutil.disk_usage(str(folder)).free < at_least:
        raise SoftdpuError(FULL_DISK.format(folder))
