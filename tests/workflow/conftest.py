"""A small build, made once, that the workflow tests look at and disturb."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from workflow_tools import copy_project, snakemake


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which target_zcu102 was built and checked, with few images and one epoch each.

    Of several test processes the first one builds, and the others take copies, which Snakemake finds up to date too.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    original = common / "original"
    with open(common / "original.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (original / "build.log").exists():
            shutil.rmtree(original, ignore_errors=True)
            copy_project(original)
            run = snakemake(original, "-j2", "target_zcu102", "check_zcu102")
            assert run.returncode == 0, run.stdout[-5000:]
            (original / "build.log").write_text(run.stdout)
    return shutil.copytree(original, tmp_path_factory.mktemp("project") / "built", symlinks=True)
