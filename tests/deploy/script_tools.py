"""Runs the project's scripts in this process, which spares the start of an interpreter and its imports."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import subprocess
import sys
from pathlib import Path
from unittest import mock

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a script with a command line, and return its exit code and what it printed."""
    spec = importlib.util.spec_from_file_location(f"script_{Path(name).stem}", SCRIPTS / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stdout, stderr = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(stderr)  # what logging.basicConfig would make in a process of the script's own
    logging.getLogger("softdpu").addHandler(handler)
    try:
        with (
            mock.patch.object(sys, "argv", [name, *map(str, words)]),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            code = module.main()
    except SystemExit as error:  # argparse
        code = error.code
    finally:
        logging.getLogger("softdpu").removeHandler(handler)
    return subprocess.CompletedProcess([name], code, stdout.getvalue(), stderr.getvalue())


def error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a user is told."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr
