"""Text from outside (a board, a file, a name) on its way to a terminal: nothing in it is obeyed."""

from __future__ import annotations

import re
from typing import Any


def printable(text: str) -> str:
    """Return `text` with what a terminal obeys or cannot show as an escape sequence; its newlines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def one_line(text: Any, limit: int = 2000) -> str:
    """Return what `text` or an error says as one printable line of at most `limit` characters."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= limit else line[: limit - 4] + " ..."


def as_layer_name(name: str) -> str:
    """Return `name` with what Keras and .h5 files do not take as _: `/model/conv1/Conv` becomes model_conv1_Conv."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name.strip("/")).strip("_-")
