"""What holds for every test."""

from __future__ import annotations

import signal
from pathlib import PurePosixPath
from typing import Any

import hypothesis
import pytest

# The same examples on every machine, so that a change is judged by what it changed. New ones are looked for with
# `pytest --hypothesis-profile=default` (and `--hypothesis-seed=N`).
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


def pytest_configure() -> None:
    # A shell starts background commands with SIGINT ignored, and programs inherit that: those that the tests start
    # would then not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes the tests of a folder run in one of them: they share builds that take a minute."""
    from xdist.scheduler import LoadScopeScheduling

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return str(PurePosixPath(nodeid.split("::")[0]).parent)

    return FolderScheduling(config, log)
