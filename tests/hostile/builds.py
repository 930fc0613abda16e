"""Builds of a small network that a test or a campaign starts, watches and stops in a chosen job."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from workflow_tools import checksums, copy_project, environment

CONFIG = """\
dataset: {train_images: 100, val_images: 100, train_shards: 2, val_shards: 1}
model: {input_size: 32}
train: {epochs: 3, batch_size: 32}
quantize: {calib_images: 32}
finetune: {epochs: 2, batch_size: 32}
package: {images: 10, golden: 2}
"""
COMMAND = ["snakemake", "-j2", "target_zcu102", "check_zcu102"]
PATIENCE = 900.0  # seconds for a build
LEAST = 0.1  # seconds of a job that can be met; a shorter one only renames or checks
TRIES = 8  # starts in which a job is to be met; a short one can end before the signal comes
STARTED = re.compile(r"Job (\d+): (.*)")
REASON = re.compile(r"Reason: Missing output files: ([^;]*)")
ENDED = re.compile(r"Finished jobid: (\d+) |Error in rule|Error executing rule")


@dataclass
class Job:
    """What a build's log says of a job."""

    name: str
    outputs: list[str] = field(default_factory=list)
    started: float = 0.0
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long the job ran."""
        return (self.ended or self.started) - self.started


class Log:
    """The jobs of one start of a build, as Snakemake's own log file tells them while they run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / ".snakemake" / "log"
        self._known = set(self._folder.glob("*.log"))
        self._read = 0
        self.jobs: dict[str, Job] = {}

    def read(self) -> dict[str, Job]:
        """Return all jobs so far, by their numbers."""
        for path in set(self._folder.glob("*.log")) - self._known:
            text = path.read_text(errors="replace")
            whole = text.rfind("\n") + 1
            lines, self._read = text[self._read : whole].splitlines(), whole
            for line in lines:
                self._take(line)
        return self.jobs

    def _take(self, line: str) -> None:
        if found := STARTED.fullmatch(line):
            self.jobs[found[1]] = Job(found[2], started=time.monotonic())
        elif (found := REASON.match(line)) and self.jobs:
            self.jobs[list(self.jobs)[-1]].outputs = found[1].split(", ")
        elif (found := ENDED.match(line)) and found[1] in self.jobs:
            self.jobs[found[1]].ended = time.monotonic()


class Build:
    """A copy of the project that is built, by a user."""

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), python: Path | None = None) -> None:
        self.folder, self.prefix, self.python = copy_project(folder), prefix, python
        (folder / "config.yaml").write_text(CONFIG)
        self.told = ""

    def start(self) -> subprocess.Popen[str]:
        """Start the build in a process group of its own."""
        home = self.folder.with_name(f"{self.folder.name} home")  # where snakemake keeps a cache, which is its user's
        home.mkdir(exist_ok=True)
        home.chmod(0o777)
        place = environment(self.folder)
        if self.python:
            place["PATH"] = f"{self.python.parent}:{place['PATH']}"
        with open(self.folder / "told.txt", "w") as told:
            return subprocess.Popen(
                [*self.prefix, *COMMAND],
                cwd=self.folder,
                env={**place, "HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def finish(self) -> int:
        """Build to the end and return the exit code."""
        process = self.start()
        try:
            return self.wait(process, PATIENCE)
        finally:
            end_group(process)

    def watch(self) -> list[Job]:
        """Build to the end and return the jobs that take time, in the order in which they began.

        Raises:
            RuntimeError: the build failed; the text is the end of what it told.
        """
        log, process = Log(self.folder), self.start()
        while process.poll() is None:
            log.read()
            time.sleep(0.02)
        if self.wait(process, 10):
            raise RuntimeError(self.told[-3000:])
        return [job for job in log.read().values() if job.outputs and job.seconds >= LEAST]

    def wait(self, process: subprocess.Popen[str], seconds: float) -> int:
        """Wait for the end, and keep what was told."""
        code = process.wait(seconds)
        self.told += (self.folder / "told.txt").read_text(errors="replace")
        return code

    def begun(self, process: subprocess.Popen[str], log: Log, left: dict[str, Job]) -> Iterator[tuple[str, Job]]:
        """Yield the number and the job of the first one of `left` that begins, if one does."""
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            for number, job in log.read().items():
                if job.name in left and job.ended is None:
                    yield number, job
                    return
            time.sleep(0.02)

    def verdict(self, wanted: dict[str, str]) -> str:
        """Build to the end and compare with the calm build's checksums."""
        if self.finish():
            return f"DOES NOT CONTINUE: {self.told.strip().splitlines()[-1:]}"
        found = checksums(self.folder)
        other = sorted(name for name in wanted if found.get(name) != wanted[name])
        if other or set(found) - set(wanted):
            return f"OTHER BYTES: {', '.join(other[:3]) or sorted(set(found) - set(wanted))[:3]}"
        places = [self.folder / "build", *self.folder.glob("logs/**/")]
        parts = [path.name for place in places for path in place.rglob("*.part*") if "snakemake" not in str(path)]
        if parts:
            return f"LEFT BEHIND: {', '.join(parts[:3])}"
        if "Traceback (most recent call last)" in self.told:
            return f"continues to the same bytes, TOLD A TRACEBACK: {self._end_of_traceback()}"
        return "continues to the same bytes"

    def _end_of_traceback(self) -> str:
        lines = self.told[self.told.index("Traceback (most recent call last)") :].splitlines()[1:]
        return next((line.strip() for line in lines if line and not line.startswith(" ")), "")


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a build."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
