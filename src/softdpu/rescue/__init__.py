"""Recipe `rescue`: post-training quantization that gives a network its float accuracy back, without labels or training.

The result is what AMD's recipe gives: int8, one power-of-two scale a tensor, in AMD's h5 format.
"""

from __future__ import annotations

from softdpu.rescue.recipe import DEFAULT, STEPS, Rescue

__all__ = ["DEFAULT", "STEPS", "Rescue"]
