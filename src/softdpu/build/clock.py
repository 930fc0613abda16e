"""Files from the future, as a clock that was set back leaves them: Snakemake refuses what is made of them.

What is stale is told by contents, so a file's time may become the present one without anything being built again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.output.text import printable

_SLACK = 1.0  # seconds by which a file system's clock may be ahead


def bring_back(paths: Iterable[Path]) -> str:
    """Give files whose time is in the future the present one; return one line about it, "" where there was none.

    Args:
        paths: inputs of jobs that are about to run; those that do not exist yet are passed over.

    Raises:
        SoftdpuError: if the time of one may not be changed.
    """
    now = time.time()
    ahead: dict[Path, float] = {}
    for path in set(paths):
        try:
            seconds = path.stat().st_mtime - now
        except OSError:  # an earlier job makes it
            continue
        if seconds > _SLACK:
            ahead[path] = seconds
    for path in ahead:
        try:
            os.utime(path, (now, now))
        except OSError as error:
            raise SoftdpuError(
                f"the time of {path} is {ahead[path]:.0f} s in the future and cannot be changed ({error.strerror}); set"
                " the clock, or touch the file"
            ) from None
    if not ahead:
        return ""
    files = "1 file" if len(ahead) == 1 else f"{len(ahead)} files"
    return printable(
        f"{files}, {min(ahead)} first, had times up to {max(ahead.values()):.0f} s in the future, as after a clock that"
        " was set back; they have the present time now"
    )
