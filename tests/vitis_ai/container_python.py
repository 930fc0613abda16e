"""A Python 3.10 with TensorFlow 2.12, made once, that stands for the Python in AMD's container of Vitis AI 3.5."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "envs/vitis-ai-test.txt"
VERSION = "3.10"


def environment(python: Path) -> Path:
    """Return the Python of an environment with the packages of REQUIREMENTS, made beside this one if need be."""
    content = hashlib.sha256(REQUIREMENTS.read_bytes() + str(python).encode()).hexdigest()[:12]
    folder = Path(sys.prefix) / f"vitis-ai-test-{content}"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be making it
        if not (folder / "ready").exists():
            subprocess.run([str(python), "-m", "venv", str(folder / "env")], check=True)
            pip = [str(folder / "env/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "--no-compile", "-r", str(REQUIREMENTS)], check=True)
            (folder / "ready").touch()
    return folder / "env/bin/python"


def run(python: Path, script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of the project's scripts as envs/vitis_ai.sh does in the container."""
    command = [str(python), str(ROOT / "scripts" / script), *map(str, arguments)]
    seen = {"PYTHONPATH": str(ROOT / "envs/path"), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, env={**os.environ, **seen}, capture_output=True, text=True, timeout=300)
