"""A small build, made once, that the workflow tests look at and disturb."""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow_tools import copy_project, snakemake


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which target_zcu102 was built and checked, with few images and one epoch each."""
    folder = copy_project(tmp_path_factory.mktemp("project") / "built")
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102")
    assert run.returncode == 0, run.stdout[-5000:]
    (folder / "build.log").write_text(run.stdout)
    return folder
