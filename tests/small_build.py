"""A small build, made once for all test processes by the command that README.md names."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# tests/cluster compares with this build: with dropout a training that was interrupted draws other masks.
SMALL_CONFIG = """\
dataset: {train_images: 640, val_images: 200, train_shards: 2, val_shards: 1}
model: {input_size: 32, dropout: 0}
train: {epochs: 6, batch_size: 64, threads: 2}
quantize: {calib_images: 32}
finetune: {epochs: 1, batch_size: 64}
package: {images: 40, golden: 2}
"""


def copy_project(folder: Path) -> Path:
    """Copy the project's files, without what was built, to `folder`, with a configuration of few images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(SMALL_CONFIG)
    shutil.copy2(ROOT / "Snakefile", folder / "Snakefile")
    ignore = shutil.ignore_patterns("*.egg-info")  # bytecode is taken along: times are kept, so it holds
    for name in ("rules", "schemas", "scripts", "envs", "profiles", "report", "target_src", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which a copy of the project uses its own sources."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "PATH": path}


def use_this_environment(folder: Path) -> None:
    """Let the Makefile of a copy take the environment that runs the tests for its own."""
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
        os.utime(folder / name, (0, 0))  # the environment is newer
    shutil.copy2(ROOT / "Makefile", folder / "Makefile")


def make_once(common: Path) -> Path:
    """Return the folder below `common` in which target_zcu102 was built and checked; build.log has what was printed."""
    folder = common / "original"
    with open(common / "original.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "build.log").exists():
            shutil.rmtree(folder, ignore_errors=True)
            use_this_environment(copy_project(folder))
            logs = []
            for command in (["make", "target_zcu102", "JOBS=2"], ["snakemake", "-j2", "check_zcu102"]):
                run = subprocess.run(
                    command,
                    cwd=folder,
                    env=environment(folder),
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=580,
                )
                assert run.returncode == 0, run.stdout[-5000:]
                logs.append(run.stdout)
            (folder / "build.log").write_text(logs[0])
    return folder
