"""The one error that a user's mistake becomes."""

from __future__ import annotations


class SoftdpuError(Exception):
    """A user's mistake or a broken input, told in one line.

    The text says what was expected, what came, in which file or layer, and what to do. Programs print it
    without a traceback and leave with exit code 1; everything else that is raised is a defect of softdpu.
    """
