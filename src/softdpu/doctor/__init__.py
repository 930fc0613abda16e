"""The doctor: why a network loses accuracy when it is quantized, layer by layer, and what the recipe `rescue` does."""

from __future__ import annotations

from softdpu.doctor.examine import Examination, examine

__all__ = ["Examination", "examine"]
