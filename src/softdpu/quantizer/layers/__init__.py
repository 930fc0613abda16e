"""Keras layers of the quantizer's own, which compute what the DPU or its AI engines compute."""

from __future__ import annotations

from softdpu.extensions import import_extensions, import_modules

import_modules(__name__)
import_extensions("quantizer")
