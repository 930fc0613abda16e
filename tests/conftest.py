"""What holds for every test."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    # A shell starts background commands with SIGINT ignored, and programs inherit that: those that the tests start
    # would then not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # With --dist loadgroup the tests of a folder run in one process: they share builds that take a minute.
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.parent.name))
