"""softdpu: from labelled images to an SD-card folder for a DPU board, and a software DPU beside it."""

from __future__ import annotations

__version__ = "0.2.0"
