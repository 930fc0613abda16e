"""A small build, made once, that the workflow tests look at and disturb."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SMALL_CONFIG = """\
dataset: {train_images: 2000, val_images: 400, train_shards: 2, val_shards: 1}
model: {input_size: 32}
train: {epochs: 1, batch_size: 64}
quantize: {calib_images: 64}
finetune: {epochs: 1, batch_size: 64}
package: {images: 40, golden: 2}
"""


def copy_project(folder: Path) -> Path:
    """Copy the project's files, without what was built, to `folder`."""
    ignore = shutil.ignore_patterns(
        ".git", ".venv", ".snakemake", "build", "logs", "data", "__pycache__", ".*_cache", "*.egg-info", ".hypothesis"
    )
    for name in ("Snakefile", "config.yaml"):
        shutil.copy2(ROOT / name, folder / name)
    for name in ("rules", "schemas", "scripts", "envs", "profiles", "target_src", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore if name != "src" else _ignore_sources)
    (folder / "config.yaml").write_text(SMALL_CONFIG)
    return folder


def _ignore_sources(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "__pycache__" or name.endswith(".egg-info")}


def snakemake(folder: Path, *arguments: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
    """Run snakemake in `folder` on that folder's own sources; stderr is merged into stdout."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(
        ["snakemake", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which target_zcu102 was built, with few images and one epoch each."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    run = snakemake(folder, "-j2", "target_zcu102")
    assert run.returncode == 0, run.stdout[-5000:]
    (folder / "build.log").write_text(run.stdout)
    return folder
