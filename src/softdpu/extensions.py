"""How files join a registry: by lying in its package, or out of tree, by a name in SOFTDPU_EXTENSIONS.

An extension is a Python package with a module for each stage that it adds to: `quantizer`, `compiler`, `reference`,
`litert`, `importer`. SOFTDPU_EXTENSIONS lists the packages, separated by commas; each stage imports its own module of
each, so the compiler never loads what needs TensorFlow. docs/extending.md builds one.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from typing import Any, Callable, TypeVar

from softdpu.errors import SoftdpuError

VARIABLE = "SOFTDPU_EXTENSIONS"
Function = TypeVar("Function", bound=Callable[..., Any])


def enter(table: dict[str, Function], names: tuple[str, ...]) -> Callable[[Function], Function]:
    """Return a decorator that enters a function into a registry under each of the names."""

    def register(function: Function) -> Function:
        table.update(dict.fromkeys(names, function))
        return function

    return register


def import_modules(package: str) -> None:
    """Import every module of a package that is being imported, so that what they register is there."""
    for module in pkgutil.iter_modules(sys.modules[package].__path__):
        importlib.import_module(f"{package}.{module.name}")


def import_extensions(stage: str) -> None:
    """Import the module `stage` of every package that SOFTDPU_EXTENSIONS names.

    Raises:
        SoftdpuError: there is no such package, or its module cannot be imported.
    """
    for package in filter(None, (name.strip() for name in os.environ.get(VARIABLE, "").split(","))):
        try:
            importlib.import_module(package)
            if importlib.util.find_spec(f"{package}.{stage}") is not None:
                importlib.import_module(f"{package}.{stage}")
        except SoftdpuError:
            raise
        except Exception as error:  # whatever the user's code raises
            raise SoftdpuError(
                f"{VARIABLE} names '{package}', whose part for the {stage} cannot be imported: "
                f"{type(error).__name__}: {error}; is its folder on PYTHONPATH?"
            ) from error
