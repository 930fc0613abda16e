"""A fault campaign: builds that are killed, interrupted, starved and mistreated must end with the bytes of a calm one.

Example:
    make faults
    python tests/hostile/faults.py --cases kill,ctrl-c --folder ../faults

Prints a table. A case that this machine cannot run is in it with the reason. Exit code 1 where a build did not
continue, told a traceback, left a part of a file behind, or made other bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
NOBODY = 65534
PYTHON = Path(sys.base_prefix)
Row = tuple[str, int, str]


class Build:
    """A copy of the project that is built, by a user."""

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), python: Path | None = None) -> None:
        self.folder, self.prefix, self.python = copy_project(folder), prefix, python
        (folder / "config.yaml").write_text(CONFIG)
        self.told = ""

    def start(self) -> subprocess.Popen[str]:
        """Start the build in a process group of its own."""
        home = self.folder.parent / "home"  # where snakemake keeps a cache
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

    def wait(self, process: subprocess.Popen[str], seconds: float) -> int:
        """Wait for the end, and keep what was told."""
        code = process.wait(seconds)
        self.told += (self.folder / "told.txt").read_text(errors="replace")
        return code

    def lengths(self) -> dict[str, float]:
        """Return how many seconds passed, in this finished build, from one job's end to the next one's."""
        ends = sorted((end, name) for name, end in self.logs().items())
        begun = [self.folder.joinpath("config.yaml").stat().st_mtime, *(end for end, _ in ends)]
        return {name: end - before for (end, name), before in zip(ends, begun, strict=False)}

    def logs(self) -> dict[str, float]:
        """Return when each job wrote to its log, by the log's name."""
        return {path.name: path.stat().st_mtime for path in self.folder.glob("logs/*.log")}

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
            return "continues to the same bytes, TOLD A TRACEBACK"
        return "continues to the same bytes"


def end_group(process: subprocess.Popen[str]) -> None:
    """Kill what is left of a build."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def jobs_of(calm: Build) -> list[str]:
    """Return the names of the logs in the order in which the jobs ended."""
    logs = calm.logs()
    return sorted(logs, key=logs.__getitem__)


def at_every_job(
    build: Build, jobs: list[str], act: Callable[[subprocess.Popen[str]], None], delay: Callable[[str], float]
) -> int:
    """Start the build again and again, and do `act` some seconds after each job began; return how many were met."""
    left = set(jobs)
    while left:
        before, process = build.logs(), build.start()
        deadline = time.monotonic() + PATIENCE
        met: set[str] = set()
        while not met and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
            met = {name for name, begun in build.logs().items() if name in left and before.get(name) != begun}
        if met:
            time.sleep(min(map(delay, met)))
            act(process)
        end_group(process)
        left -= met
        if not met:  # built to its end, or it cannot go on, which the verdict finds
            break
    return len(jobs) - len(left)


def kill(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """SIGKILL for the whole build, in every job, at a moment of it drawn by chance."""
    build = Build(folder / "kill")
    lengths = calm.lengths()
    met = at_every_job(build, jobs_of(calm), end_group, lambda job: rng.random() * lengths[job])
    yield "SIGKILL in every job", met, build.verdict(wanted)


def ctrl_c(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """SIGINT for the whole process group, as a terminal sends it."""
    build = Build(folder / "ctrl-c")
    slow: list[str] = []

    def interrupt(process: subprocess.Popen[str]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            build.wait(process, 120)
        except subprocess.TimeoutExpired:
            slow.append("did not end within 120 s")

    lengths = calm.lengths()
    met = at_every_job(build, jobs_of(calm), interrupt, lambda job: rng.random() * lengths[job])
    verdict = build.verdict(wanted)
    yield "Ctrl-C in every job", met, f"{verdict}{', DOES NOT END: ' + str(len(slow)) if slow else ''}"


def disk_full(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """build/ on a small tmpfs that is filled as soon as a job begins, and emptied again before the next start."""
    what = "disk full in every job"
    build = Build(folder / "full")
    (build.folder / "build").mkdir()
    place = build.folder / "build"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "none", place], capture_output=True).returncode:
        yield what, 0, "not run: this user may not mount a tmpfs"
        return
    try:
        failed = 0

        def fill(process: subprocess.Popen[str]) -> None:
            nonlocal failed
            with contextlib.suppress(OSError), open(place / "filler", "wb") as file:
                while True:
                    file.write(bytes(1 << 20))
            failed += build.wait(process, PATIENCE) != 0
            (place / "filler").unlink()

        met = at_every_job(build, jobs_of(calm), fill, lambda job: 0)
        lines = [line for line in build.told.splitlines() if "error: the disk of " in line and " is full" in line]
        verdict = build.verdict(wanted)
        yield what, met, f"{failed} stop, {len(set(lines))} lines name the disk; {verdict}"
    finally:
        subprocess.run(["umount", place], check=False)


def no_rights(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """Another user than root, in a folder of an odd name that may not be written; then it may."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        yield "non-root user", 0, "not run: root may write everywhere, and there is no setpriv to be another user"
        return
    build, who = nobody(folder / "it's a té st")
    build.folder.chmod(0o555)
    code = build.finish()
    told = build.told.strip().splitlines()[-1:]
    short = " ".join(told).replace(str(build.folder), "the folder")
    yield "read-only folder", 1, f"{'stops' if code else 'DOES NOT STOP'} with: {short}"
    build.folder.chmod(0o755)
    yield f"then it may be written: {who}, a folder with a space, a quote, é", 1, build.verdict(wanted)


def nobody(folder: Path) -> tuple[Build, str]:
    """Return a build by another user than root, and who that is."""
    if os.getuid():
        return Build(folder), "non-root user"
    ids = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --"
    home = next((place for place in reversed(PYTHON.parents) if not place.stat().st_mode & 0o001), None)
    if home is None:
        prefix: tuple[str, ...] = tuple(ids.split())
    else:  # Python lies in a folder that this user may not enter: in a view of the disk of its own, it may
        seen = shlex.quote(str(PYTHON))
        mounts = (
            f'at=$(mktemp -d) && mount --bind {seen} "$at" && mount -t tmpfs -o mode=755 none {shlex.quote(str(home))}'
        )
        mounts += f' && mkdir -p {seen} && mount --bind "$at" {seen} && umount "$at" && rmdir "$at"'
        prefix = ("unshare", "--mount", "sh", "-c", f'{mounts} && exec {ids} "$@"', "sh")
    tried = subprocess.run([*prefix, "sh", "-c", "cd / && python -c ''"], env=environment(folder), capture_output=True)
    if tried.returncode:
        return Build(folder, ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--")), "root without its rights"
    build = Build(folder, prefix)
    for path in [build.folder, *build.folder.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    return build, "non-root user"


def newest(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """The newest Python that the packages of requirements.lock support, in an environment of its own."""
    python = os.environ.get("SOFTDPU_NEWEST_PYTHON")
    if not python:
        yield "newest Python", 0, "not run: SOFTDPU_NEWEST_PYTHON names no python of an environment with the packages"
        return
    told = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    yield f"{told}, from the start", 1, Build(folder / "newest", python=Path(python)).verdict(wanted)


def two_at_once(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """A second build starts while the first one runs."""
    build = Build(folder / "two")
    first = build.start()
    job = build.folder / "logs" / jobs_of(calm)[0]
    while not job.exists() and first.poll() is None:
        time.sleep(0.02)
    second = subprocess.run(COMMAND, cwd=build.folder, env=environment(build.folder), capture_output=True, text=True)
    kept_out = second.returncode and "locked" in second.stdout + second.stderr
    code = build.wait(first, PATIENCE)
    how = "the second is kept out" if kept_out else "THE SECOND IS NOT KEPT OUT"
    yield "two builds at once", 2, f"{how}, the first ends with {code}; {build.verdict(wanted)}"


def clock_back(calm: Build, folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """Every source is a day younger than now, as after a clock that was set back; so is half of what was built."""
    build = Build(folder / "clock")
    tomorrow = time.time() + 86400
    for path in build.folder.rglob("*"):
        if path.is_file():
            os.utime(path, (tomorrow, tomorrow))
    first = build.verdict(wanted)
    for path in (build.folder / "build").rglob("*"):
        if path.is_file() and rng.random() < 0.5:
            os.utime(path, (tomorrow, tomorrow))
    yield "clock set back by a day", 2, f"{first}; again: {build.verdict(wanted)}"


CASES = {
    "kill": kill,
    "ctrl-c": ctrl_c,
    "disk-full": disk_full,
    "no-rights": no_rights,
    "two-at-once": two_at_once,
    "clock-back": clock_back,
    "newest-python": newest,
}


def run(cases: list[str], folder: Path, seed: int) -> int:
    """Print the table and return the exit code."""
    folder.chmod(0o755)
    calm = Build(folder / "calm")
    if calm.finish():
        print(calm.told[-3000:])
        return 1
    wanted = checksums(calm.folder)
    jobs = jobs_of(calm)
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"{len(jobs)} jobs, {len(wanted)} files compared, Python {python}, seed {seed}\n")
    print("| fault | runs | found |\n|---|---|---|", flush=True)
    bad = 0
    for name in cases:
        try:
            for what, runs, found in CASES[name](calm, folder, wanted, random.Random(f"{seed}{name}")):
                print(f"| {what} | {runs} | {found} |", flush=True)
                bad += any(word.isupper() and len(word) > 2 for word in found.replace(":", "").split())
        except subprocess.TimeoutExpired:
            print(f"| {name} | 1 | HANGS: not at its end after {PATIENCE:g} s |", flush=True)
            bad += 1
    return bad > 0


def main() -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="of " + ", ".join(CASES))
    parser.add_argument("--folder", type=Path, help="where the builds are made and kept; a temporary one by default")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    options = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what a shell starts with & ignores it, and so its children
    if options.folder:
        options.folder.mkdir(parents=True)
        return run(options.cases.split(","), options.folder.resolve(), options.seed)
    with tempfile.TemporaryDirectory() as folder:
        return run(options.cases.split(","), Path(folder), options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
