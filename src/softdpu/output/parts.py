"""Files that are being written: beside their final places, under names that tell who writes them.

A process that is killed leaves its part behind. The next one that writes the same file clears it away, if nobody writes
it any more. A lock could not say so, since HDF5 locks the files that it opens itself. The name says it:

    .part-<machine>.<process>.<when it started>-<random>-<end of the final name>

The machine is a checksum of the host's name and of the space in which process numbers count: containers, and the nodes
of a cluster, see one folder but not one another's processes, and leave one another's parts alone.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import tempfile
import zlib
from pathlib import Path

_NAME = re.compile(r"\.part-([0-9a-f]{8})\.(\d{1,9})\.(\d{1,20})-[^-]+-(.*)", re.DOTALL)
_LONGEST = 190  # bytes of a final name that a part's name takes: most file systems allow 255 in all


def make(final: Path) -> Path:
    """Make an empty part of a file; what killed processes left of it goes first."""
    process, tail = os.getpid(), _tail(final.name)
    for name, other in _left_behind(os.path.abspath(str(final.parent))):
        if other == tail:
            with contextlib.suppress(OSError):
                final.with_name(name).unlink()
    prefix = f".part-{_machine()}.{process}.{_start(process) or 0}-"
    handle, part = tempfile.mkstemp(prefix=prefix, suffix=f"-{tail}", dir=str(final.parent))
    os.close(handle)
    return Path(part)


def _tail(name: str) -> str:
    """Return the end of a part's name: that of the file, cut from the front where it is too long."""
    end = os.fsencode(name)
    return name if len(end) <= _LONGEST else end[-_LONGEST:].decode("utf-8", "ignore")


@functools.lru_cache(maxsize=1000)
def _left_behind(folder: str) -> tuple[tuple[str, str], ...]:
    """Return names and tails of the parts whose processes have ended; looked up once, since a folder may be large."""
    try:
        names = os.listdir(folder)
    except OSError:  # that can be written, not read
        return ()
    parts = [_NAME.fullmatch(name) for name in names if name.startswith(".part-")]
    return tuple(
        (part[0], part[4])
        for part in parts
        if part and part[1] == _machine() and _has_ended(int(part[2]), int(part[3]))
    )


def _has_ended(process: int, start: int) -> bool:
    """Return whether a process has ended for certain; another may have its number by now."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:  # another user's
        return False
    now = _start(process)
    return now is not None and now != start


def _start(process: int) -> int | None:
    """Return when a process started, in a clock's ticks since the machine did; None where the system does not tell."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[19])
    except (OSError, ValueError, IndexError):
        return None


@functools.lru_cache(maxsize=None)  # noqa: UP033 - Python 3.7 of AMD's containers
def _machine() -> str:
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{zlib.crc32(f'{socket.gethostname()} {space}'.encode()):08x}"
