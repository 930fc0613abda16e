"""What holds for every test."""

from __future__ import annotations

import os
import signal
from pathlib import Path, PurePosixPath
from typing import Any

import hypothesis
import pytest
import small_build

if "PYTEST_XDIST_WORKER" in os.environ:
    # OpenBLAS' threads wait for each other in loops: where two processes share two processors, the small products of
    # the reference took a hundred times as long. Snakemake sets the same for a build's jobs.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The same examples on every machine, so that a change is judged by what it changed. New ones are looked for with
# `pytest --hypothesis-profile=default` (and `--hypothesis-seed=N`).
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


# The first makes the small build; until it is there, the second process does what needs none.
LONGEST = ("tests/workflow/test_build.py", "tests/training/", "tests/docs/", "tests/workflow/", "tests/cluster/")
LONGEST += ("tests/vitis_ai/", "tests/deploy/", "tests/quantizer/")


def pytest_configure() -> None:
    # A shell starts background commands with SIGINT ignored, and programs inherit that: those that the tests start
    # would then not hear Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes the tests of a folder run in one of them, because they share fixtures; the longest first.

    tests/workflow takes a third of all the time, so each of its files counts as a folder.
    """
    from xdist.scheduler import LoadScopeScheduling

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = PurePosixPath(nodeid.split("::")[0])
            return str(file if file.parent.name == "workflow" else file.parent)

    return FolderScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several processes begin with what takes longest, so that none works alone at the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: next((i for i, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST)))


@pytest.fixture(scope="session")
def original_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small build that all test processes share: to be copied, not to be changed."""
    common = tmp_path_factory.getbasetemp()
    return small_build.make_once(common.parent if "PYTEST_XDIST_WORKER" in os.environ else common)
