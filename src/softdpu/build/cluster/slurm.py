"""Whether a Slurm cluster can take a build, and why a build on it may have failed, each in one line."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from softdpu.errors import SoftdpuError

_SECONDS = 10  # for an answer of the controller
_ELSEWHERE = "or build on this machine, without --workflow-profile"


def check(partitions: Iterable[str | None]) -> None:
    """Check that there is a Slurm, that its controller answers, and that it has these partitions; None is the default.

    Raises:
        SoftdpuError: if not.
    """
    if shutil.which("sbatch") is None:
        raise SoftdpuError(f"no Slurm here: sbatch is not on the PATH; start the build on the login node, {_ELSEWHERE}")
    code, text = _ask("scontrol", "ping")
    if code != 0 or "UP" not in text:
        state = text.splitlines()[0] if text else f"no answer within {_SECONDS} s"
        raise SoftdpuError(f"Slurm's controller does not answer ({state}): wait until it is back, {_ELSEWHERE}")
    known = _ask("sinfo", "--noheader", "--format=%R")[1].split()
    for partition in partitions:
        if partition is not None and partition not in known:
            raise SoftdpuError(
                f"unknown partition '{partition}': this cluster has {', '.join(sorted(set(known))) or 'none'};"
                " change slurm_partition in the profile or in --default-resources"
            )


def list_unseen(folder: Path, partitions: Iterable[str | None]) -> list[str]:
    """Return a line for each partition of which a node does not see the build's folder, or not the Python that runs it.

    Asks one node of each partition that is free within seconds; a node that is not gets no line.
    """
    lines = []
    for partition in partitions:
        where = [f"--partition={partition}"] if partition else []
        test = 'echo $(hostname); [ -d "$0" ] || echo "the folder $0"; [ -x "$1" ] || echo "the Python $1"'
        job = ["--immediate=5", "--ntasks=1", "--mem=50", "--time=1", "--chdir=/", "sh", "-c", test]
        code, text = _ask("srun", "--quiet", *where, *job, str(folder), sys.executable)
        node, *missing = text.splitlines() if code == 0 and text else [""]
        lines += [f"node {node} does not see {what}: it must be on a disk that all nodes share" for what in missing]
    return lines


def _ask(*command: str) -> tuple[int, str]:
    """Return the exit code of a command of Slurm and what it printed, also as errors; silence if it hangs."""
    try:
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return 1, ""
    return done.returncode, done.stdout.strip()
