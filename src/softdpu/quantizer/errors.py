"""The quantizer's error: a SoftdpuError for our programs that callers of AMD's API can also catch as a ValueError."""

from __future__ import annotations

from softdpu.errors import SoftdpuError


class QuantizerError(SoftdpuError, ValueError):
    """A model, data set or option that cannot be quantized, told in one line."""
