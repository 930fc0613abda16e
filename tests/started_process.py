"""Programs run in copies of one process that has imported snakemake or TensorFlow already.

A suite starts hundreds of programs, and each would take a second for snakemake's own imports or three for TensorFlow's.
Only packages that others wrote are imported beforehand: what is tested is imported anew, from where the program finds
it. Tests of what two processes have in common, such as equal bytes, start processes of their own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_IMPORTS = {
    "snakemake": (
        "snakemake.cli",
        "snakemake.report.html_reporter",
        "snakemake.executors.local",
        "numpy",
        "jsonschema",
    ),
    "tensorflow": ("tensorflow", "tf_keras", "cv2", "h5py", "tqdm"),
}
# As softdpu.keras2.api sets them before it imports TensorFlow.
_TENSORFLOW = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
_servers: dict[str, subprocess.Popen[str]] = {}


def run_program(
    command: Sequence[str | Path],
    imported: str,
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    merged: bool = False,
    timeout: float = 500,
) -> subprocess.CompletedProcess[str]:
    """Run `snakemake ...` or `python program.py ...` as subprocess.run does, with stdout and stderr captured as text.

    Args:
        command: starts with "snakemake" or the path of the interpreter that runs the tests.
        imported: "snakemake" or "tensorflow": what the process has imported already.
        cwd: the folder in which the program runs.
        env: its environment; None for that of the tests. Of Python's own variables only PYTHONPATH counts, since the
            interpreter has started before.
        merged: stderr is written into stdout.
        timeout: seconds after which it is killed.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    words = [str(word) for word in command]
    environment = dict(os.environ if env is None else env)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"{folder}/stdout", f"{folder}/stdout" if merged else f"{folder}/stderr"]
        request = {"command": words, "cwd": str(cwd), "env": environment, "outputs": outputs, "timeout": timeout}
        server = _find_server(imported)
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        texts = [Path(path).read_text(errors="replace") for path in sorted(set(outputs), reverse=True)]
    if status == -14:  # SIGALRM
        raise subprocess.TimeoutExpired(words, timeout, *texts)
    return subprocess.CompletedProcess(words, status, *texts)


def _find_server(imported: str) -> subprocess.Popen[str]:
    if imported not in _servers:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        _servers[imported] = subprocess.Popen(
            [sys.executable, __file__, imported],
            env={**environment, **_TENSORFLOW},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(_servers[imported].kill)
    return _servers[imported]


def _serve(imported: str) -> None:
    """Answer each request, a line of JSON on stdin, by the exit status of a copy of this process that ran it."""
    for name in _IMPORTS[imported]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answers.close()
            _run(json.loads(line))  # leaves this process as a program of its own would
        answers.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        answers.flush()


def _run(request: dict[str, Any]) -> None:
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    for number, path in enumerate(("/dev/null", *request["outputs"])):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    _limit(request["timeout"])
    program, *arguments = request["command"]
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if Path(program).name == "snakemake":
        sys.path[0:1] = given
        sys.argv = [program, *arguments]
        importlib.import_module("snakemake.cli").main()
        sys.exit(0)
    script, *arguments = arguments
    sys.path[0:1] = [str(Path(script).resolve().parent), *given]
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
    sys.exit(0)


def _limit(seconds: float) -> None:
    import signal

    signal.setitimer(signal.ITIMER_REAL, seconds)  # its signal ends a program that has no handler of its own


if __name__ == "__main__":
    _serve(sys.argv[1])
