"""One build at a time in a folder.

Snakemake's own lock outlives a build that is killed, so the profile turns it off. This is a lock of the kernel (flock),
which ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from softdpu.errors import SoftdpuError

NAME = ".softdpu-build"
_held: list[int] = []  # keeps the descriptors open until this process ends


def hold(folder: Path) -> None:
    """Lock a build's folder until this process ends.

    Raises:
        SoftdpuError: if another build holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SoftdpuError(f"{folder} is locked: another build runs there; wait until it has ended") from None
    _held.append(descriptor)
