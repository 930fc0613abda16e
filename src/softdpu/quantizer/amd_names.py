"""AMD's quantizer by the names that scripts import it by, where AMD's package is not installed.

`from tensorflow_model_optimization.quantization.keras import vitis_quantize, vitis_inspect` then gives the modules of
softdpu.quantizer. The names are looked up last of all: a real package, AMD's or Google's, keeps all that it has.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any

_ROOT = "tensorflow_model_optimization"
_PUBLIC = f"{_ROOT}.quantization.keras"
_PRIVATE = f"{_ROOT}.python.core.quantization.keras.vitis"
_MODULES = ("vitis_quantize", "vitis_inspect")
_ALIASES = {f"{place}.{name}": f"softdpu.quantizer.{name}" for place in (_PUBLIC, _PRIVATE) for name in _MODULES}
# The packages on the way to them, which hold nothing else.
_PACKAGES = {name.rsplit(".", depth)[0] for name in _ALIASES for depth in range(1, name.count(".") + 1)}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes the packages and modules of `_PACKAGES` and `_ALIASES`."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """Return how to make a module, or None for names that are not ours."""
        if name not in _PACKAGES and name not in _ALIASES:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name in _PACKAGES)

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill a module with what softdpu's module of that name has."""
        source = _ALIASES.get(module.__name__)
        if source is not None:
            module.__doc__ = f"{source}, by AMD's name."
            module.__dict__.update(
                {name: value for name, value in vars(importlib.import_module(source)).items() if name[:2] != "__"}
            )


def install() -> None:
    """Let the names be imported in this program."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
