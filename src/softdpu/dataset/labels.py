"""labels.txt: the names of the classes, one per line from 0. The one place that reads and writes it.

A name may come from a folder, and a folder may be called anything: what would be a second line, or no text, is written
as an escape sequence, so that there are as many lines as classes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Sequence  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError
from softdpu.output import files, text

LABELS = "labels.txt"
_MOST = 16 << 20  # bytes


def write(path: files.PathLike, names: Sequence[str]) -> None:
    """Write the names of the classes to a labels.txt."""
    files.write_text(path, "".join(f"{_line(name)}\n" for name in names))


def read(path: files.PathLike) -> list[str]:
    """Return the names in a labels.txt, whoever wrote it: a line is what ends with a newline, CR before it or not.

    Raises:
        SoftdpuError: it is missing, no file, or far too large.
    """
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > _MOST:
            raise SoftdpuError(f"{path}: expected labels.txt of the records, a class a line; name another file")
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise SoftdpuError(f"{path}: expected labels.txt of the records ({error}); name another file") from None
    lines = data.decode("utf-8-sig", "backslashreplace").split("\n")
    return [_line(line[:-1] if line.endswith("\r") else line) for line in (lines if lines[-1] else lines[:-1])]


def read_beside(records: files.PathLike) -> list[str]:
    """Return the names of the classes of a folder of records, [] where no labels.txt stands there."""
    path = Path(records) / LABELS
    return read(path) if path.is_file() else []


def _line(name: str) -> str:
    return text.printable(name).replace("\n", "\\n").replace("\t", "\\t")
