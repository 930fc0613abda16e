"""A build that was killed leaves Snakemake's lock behind; here it is told apart from the lock of a living build.

A running build holds a kernel lock (flock) on a file of its own, which the kernel drops when the process dies, however
it dies. Snakemake's own lock files are removed at the next start only while nobody holds that kernel lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

_ALIVE = "softdpu.alive"
_held: list[int] = []  # keeps the descriptors of this process's locks open until it ends


def hold(state: Path) -> None:
    """Say that this process is building in the folder with Snakemake's state folder `state`, until it ends."""
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / _ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    with contextlib.suppress(BlockingIOError):  # with --nolock another build may live here; it says so itself
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    _held.append(descriptor)


def clear_stale(state: Path) -> bool:
    """Remove the lock files of a killed build; return whether there were any. A living build's stay."""
    locks = sorted((state / "locks").glob("*.lock"))
    if not locks or not (state / _ALIVE).exists():
        return False
    with open(state / _ALIVE, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        for lock in locks:
            lock.unlink(missing_ok=True)
    return True
