"""A small build that the workflow tests look at and disturb."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def built(original_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small build, which Snakemake finds up to date too."""
    return shutil.copytree(original_build, tmp_path_factory.mktemp("project") / "built", symlinks=True)
