"""The one exception of this module; where AMD's library ends the process, this is raised instead."""

from __future__ import annotations


class XirError(RuntimeError):
    """A graph, op, attribute or file that is not what it must be, told in one line with their names."""
