"""Ctrl-C stops a build at once, also in the moment in which Snakemake starts a job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workflow_tools import ROOT

SNAKEFILE = """
from softdpu.build import ctrl_c
onstart:
    ctrl_c.reach_every_job()
rule long:
    output: "{name}.txt"
    log: "{name}.log"
    shell: "(sleep 60; touch {output:q}) &> {log:q}"
rule all:
    default_target: True
    input: "a.txt", "b.txt", "c.txt"
"""


def interrupt(folder: Path, after: str, delay: float) -> tuple[float, str]:
    """Start a build, send SIGINT to its process group so long after a line, and return how long it took to end."""
    (folder / "Snakefile").write_text(SNAKEFILE)
    build = subprocess.Popen(
        [sys.executable, "-m", "snakemake", "-j2"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert build.stdout
    told = ""
    while after not in told:
        line = build.stdout.readline()
        assert line, told
        told += line
    time.sleep(delay)
    start = time.monotonic()
    os.killpg(build.pid, signal.SIGINT)
    told += build.communicate(timeout=120)[0]
    assert build.returncode == 1
    return time.monotonic() - start, told


@pytest.mark.parametrize("delay", [0, 0.002, 0.005, 0.01, 0.02, 0.1, 1])
def test_a_build_ends_soon(tmp_path: Path, delay: float) -> None:
    seconds, told = interrupt(tmp_path, "Execute 2 jobs", delay)
    assert seconds < 40, told
    assert "Traceback" not in told and "RuntimeError" not in told
    assert not list(tmp_path.glob("*.txt")) and len(list(tmp_path.glob("*.log"))) <= 2
