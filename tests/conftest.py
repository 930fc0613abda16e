"""What holds for every test."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    # A shell starts background commands with SIGINT ignored, and programs inherit that: those that the tests start
    # would then not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
