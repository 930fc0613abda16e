"""A cluster of one node, with the executor's plugin, for the tests that need one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import one_node_slurm
import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.append(str(TESTS / "workflow"))  # workflow_tools


@pytest.fixture(scope="session")
def slurm_plugin(request: pytest.FixtureRequest) -> Path:
    """A folder with the packages of envs/slurm.txt, kept between runs: they are no part of the environment."""
    wanted = TESTS.parent / "envs/slurm.txt"
    folder = Path(request.config.cache.mkdir("slurm_plugin")) if request.config.cache else Path(tempfile.mkdtemp())
    mark = folder / "installed.txt"
    if not mark.exists() or mark.read_bytes() != wanted.read_bytes():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--upgrade", "--target", str(folder), "-r", str(wanted)], capture_output=True)
        if done.returncode:
            pytest.skip(f"envs/slurm.txt cannot be installed: {done.stderr.decode()[-300:]}")
        mark.write_bytes(wanted.read_bytes())
    return folder


@pytest.fixture(scope="session")
def slurm() -> Iterator[one_node_slurm.Slurm]:
    """A running cluster; `hidden` below its folder is what its node does not see."""
    with one_node_slurm.alone(), tempfile.TemporaryDirectory(prefix="softdpu_slurm_") as name:
        why = one_node_slurm.missing()
        if " " in sys.executable:
            why = f"Snakemake's Slurm executor does not quote the path of the interpreter, {sys.executable}"
        if why:
            pytest.skip(why)
        Path(name).chmod(0o711)  # munge wants every folder above its socket to be open
        cluster = one_node_slurm.Slurm(Path(name))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
