"""The one error that a user's mistake becomes."""

from __future__ import annotations

_LONGEST = 2000  # characters; of a longer text both ends are shown, for its last words say what to do


class SoftdpuError(Exception):
    """A user's mistake or a broken input, told in one line.

    The text says what was expected, what came, in which file or layer, and what to do. Programs print it
    without a traceback and leave with exit code 1; everything else that is raised is a defect of softdpu.
    Names from a file may stand in it as they are: it becomes one printable line of at most 2,000 characters.
    """

    def __init__(self, text: object) -> None:
        line = _shorten(" ".join(str(text).splitlines()))
        super().__init__(_shorten("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)))


def _shorten(line: str) -> str:
    """Return a line without its middle where it is too long."""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 500]} ... {line[-490:]}"
