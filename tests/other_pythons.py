"""Other versions of Python on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def find(version: str) -> Path | None:
    """Return a Python of a version such as "3.10": the one that SOFTDPU_PYTHON310 names, on the PATH, or pyenv's."""
    given = os.environ.get("SOFTDPU_PYTHON" + version.replace(".", ""))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [given, shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    for candidate in filter(None, candidates):
        code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
        try:  # pyenv's shim on the PATH refuses where another version is active
            done = subprocess.run([str(candidate), "-c", code], capture_output=True, text=True, timeout=30)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return Path(candidate)
    return None
