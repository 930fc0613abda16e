"""The examples in docstrings of the public modules run, and each of these modules has one."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

PUBLIC = (
    "xir",
    "vart",
    "vitis_ai_library",
    "softdpu.numbers.fixed_point",
    "softdpu.numbers.boards",
    "softdpu.quantizer",
)


def modules_below(name: str) -> list[str]:
    """Every module of a public package whose source has an example, and the package itself."""
    package = importlib.import_module(name)
    below = [found.name for found in pkgutil.iter_modules(getattr(package, "__path__", []), name + ".")]
    files = {module: importlib.util.find_spec(module) for module in below}
    return [name, *(module for module, spec in files.items() if spec and spec.origin and ">>>" in read(spec.origin))]


def read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if path.endswith(".py") else ""


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run(name: str) -> None:
    for module in modules_below(name):
        options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        found = doctest.testmod(importlib.import_module(module), optionflags=options)
        assert found.failed == 0, f"{module}: {found.failed} of {found.attempted} examples fail"
        assert found.attempted > 0, f"{module} has no example"
