"""The one exception of this module; where AMD's library ends the process, this is raised instead."""

from __future__ import annotations

_LONGEST = 1000


class XirError(RuntimeError):
    """A graph, op, attribute or file that is not what it must be, told in one line with their names."""

    def __init__(self, text: str) -> None:
        line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * _LONGEST]).split())
        super().__init__(line if len(line) <= _LONGEST else line[:_LONGEST] + "...")
