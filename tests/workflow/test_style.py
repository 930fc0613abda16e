"""The style checks are part of the tests: ruff, mypy, import-linter, snakefmt, snakemake --lint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
SNAKEFILES = ["Snakefile", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "rules").glob("*.smk"))]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports", "--no-cache"],
        ["snakefmt", "--check", *SNAKEFILES],
        ["snakemake", "--lint"],
    ],
    ids=["ruff check", "ruff format", "mypy", "import-linter", "snakefmt", "snakemake --lint"],
)
def test_style(command: list[str]) -> None:
    run = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_files_stay_small() -> None:
    """A file of more than 400 lines holds more than one idea."""
    folders = ("src", "scripts", "target_src", "rules")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk")]
    long = {
        str(path): n for path in files if (n := len(path.read_text().splitlines())) > 400 and "_pb2" not in path.name
    }
    assert not long
