"""The cores that a build uses at a time, with the profile that Snakemake reads by itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from workflow_tools import ROOT, snakemake

# Jobs that want every core there is, and fail when they meet another.
SNAKEFILE = """\
rule all:
    input: expand("done_{n}", n=range(3))
rule wide:
    output: "done_{n}"
    threads: 1000
    shell: "mkdir busy && sleep 0.3 && rmdir busy && touch {output}"
"""


@pytest.mark.parametrize("option", ["", "-j4", "-j 4", "--jobs 4", "--jobs=4", "-kj4", "-c4", "--cores 4"])
def test_threads_count(tmp_path: Path, option: str) -> None:
    """Jobs of many threads wait for each other, whichever way the number of cores is told."""
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    done = snakemake(tmp_path, *option.split())
    assert done.returncode == 0, done.stdout
