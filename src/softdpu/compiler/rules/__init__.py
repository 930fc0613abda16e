"""How each chain of float operations reads as an integer operation of the DPU; RULES and MOVERS by the float kind."""

from __future__ import annotations

from softdpu.compiler.registry import FUSING, MOVERS, RULES
from softdpu.extensions import import_extensions, import_modules

__all__ = ["FUSING", "MOVERS", "RULES"]

import_modules(__name__)
import_extensions("compiler")
