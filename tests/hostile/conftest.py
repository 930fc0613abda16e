"""The card folder and the app of tests/target_src."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

TARGET = Path(__file__).parents[1] / "target_src"
sys.path.append(str(TARGET))
_spec = importlib.util.spec_from_file_location("card_fixtures", TARGET / "conftest.py")
assert _spec and _spec.loader
_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_fixtures)
app, card, fakes, golden, helper = (getattr(_fixtures, name) for name in ("app", "card", "fakes", "golden", "helper"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `make fuzz` take its time: every input has a limit of its own."""
    for item in items if os.environ.get("SOFTDPU_FUZZ") else []:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(0))
