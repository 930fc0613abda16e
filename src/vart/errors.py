"""The one error of this module."""

from __future__ import annotations

from softdpu.errors import SoftdpuError


class VartError(SoftdpuError, ValueError):
    """A wrong call: the text says what was expected and what came. AMD's module ends the process in most such cases."""
