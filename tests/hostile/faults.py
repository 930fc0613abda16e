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

sys.path.insert(0, str(Path(__file__).parent))

from builds import COMMAND, PATIENCE, TRIES, Build, Job, Log, checksums, end_group, environment

NOBODY = 65534
PYTHON = Path(sys.base_prefix)
Row = tuple[str, str, str]


def at_every_job(
    build: Build,
    jobs: list[Job],
    act: Callable[[subprocess.Popen[str]], None],
    delay: Callable[[Job], float],
    ended_too: bool = False,
) -> str:
    """Start the build again and again, and do `act` some seconds after each job began; say how many were met.

    A job is met that has not ended when the act is done, or with `ended_too` any that began. One that was finished by a
    start meant for another job runs again, once its outputs and those of all later jobs are gone.
    """
    left = {job.name: job for job in jobs}
    for _ in range(TRIES * len(jobs)):
        if not left:
            break
        log = Log(build.folder)
        process = build.start()
        try:
            found = next(build.begun(process, log, left), None)
            if found is not None:
                number, job = found
                pause = time.monotonic() + delay(left[job.name])
                while time.monotonic() < pause and job.ended is None:
                    time.sleep(0.01)
                    log.read()
                act(process)
        finally:
            end_group(process)
        if found is None:  # built to its end, or it cannot go on, which the verdict finds
            first = jobs.index(next(iter(left.values())))
            if not remove_outputs(build, jobs[first:]):
                break
        elif ended_too or log.read()[number].ended is None:
            del left[job.name]
    return f"{len(jobs) - len(left)} of {len(jobs)} jobs"


def remove_outputs(build: Build, jobs: list[Job]) -> bool:
    """Remove what some jobs make and return whether there was something."""
    there = [path for job in jobs for path in (build.folder / name for name in job.outputs) if path.exists()]
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return bool(there)


def kill(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """SIGKILL for the whole build, in every job, at a moment of it drawn by chance."""
    build = Build(folder / "kill")
    met = at_every_job(build, jobs, end_group, lambda job: rng.random() * job.seconds)
    yield "SIGKILL in every job", met, build.verdict(wanted)


def ctrl_c(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
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

    met = at_every_job(build, jobs, interrupt, lambda job: rng.random() * job.seconds)
    verdict = build.verdict(wanted)
    yield "Ctrl-C in every job", met, f"{verdict}{', DOES NOT END: ' + str(len(slow)) if slow else ''}"


def disk_full(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """build/ on a small tmpfs that is filled as soon as a job begins, and emptied again before the next start."""
    what = "disk full in every job"
    build = Build(folder / "full")
    (build.folder / "build").mkdir()
    place = build.folder / "build"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", place], capture_output=True).returncode:
        yield what, "0", "not run: this user may not mount a tmpfs"
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

        met = at_every_job(build, jobs, fill, lambda job: 0, ended_too=True)
        lines = [line for line in build.told.splitlines() if "error: the disk of " in line and " is full" in line]
        verdict = build.verdict(wanted)
        yield what, met, f"{failed} stop, {len(set(lines))} lines name the disk; {verdict}"
    finally:
        subprocess.run(["umount", "--lazy", place], check=False)


def no_rights(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """Another user than root, in a folder of an odd name that may not be written; then it may."""
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        yield "non-root user", "0", "not run: root may write everywhere, and there is no setpriv to be another user"
        return
    build, who = nobody(folder / "it's a té st")
    build.folder.chmod(0o555)
    code = build.finish()
    told = build.told.strip().splitlines()[-1:]
    short = " ".join(told).replace(str(build.folder), "the folder")
    yield "read-only folder", "1", f"{'stops' if code else 'DOES NOT STOP'} with: {short}"
    build.folder.chmod(0o755)
    yield f"then it may be written: {who}, a folder with a space, a quote, é", "1", build.verdict(wanted)


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


def newest(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """The newest Python that the packages of requirements.lock support, in an environment of its own."""
    python = os.environ.get("SOFTDPU_NEWEST_PYTHON")
    if not python:
        yield "newest Python", "0", "not run: SOFTDPU_NEWEST_PYTHON names no python of an environment with the packages"
        return
    told = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.strip()
    yield f"{told}, from the start", "1", Build(folder / "newest", python=Path(python)).verdict(wanted)


def two_at_once(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
    """A second build starts while the first one runs."""
    build = Build(folder / "two")
    log = Log(build.folder)
    first = build.start()
    next(build.begun(first, log, {job.name: job for job in jobs}), None)
    second = subprocess.run(COMMAND, cwd=build.folder, env=environment(build.folder), capture_output=True, text=True)
    kept_out = second.returncode and "locked" in second.stdout + second.stderr
    code = build.wait(first, PATIENCE)
    how = "the second is kept out" if kept_out else "THE SECOND IS NOT KEPT OUT"
    yield "two builds at once", "2", f"{how}, the first ends with {code}; {build.verdict(wanted)}"


def clock_back(jobs: list[Job], folder: Path, wanted: dict[str, str], rng: random.Random) -> Iterator[Row]:
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
    yield "clock set back by a day", "2", f"{first}; again: {build.verdict(wanted)}"


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
    try:
        jobs = calm.watch()
    except RuntimeError as error:
        print(error)
        return 1
    wanted = checksums(calm.folder)
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"{len(jobs)} jobs that take time, {len(wanted)} files compared, Python {python}, seed {seed}\n")
    print("| fault | runs | found |\n|---|---|---|", flush=True)
    bad = 0
    for name in cases:
        try:
            for what, runs, found in CASES[name](jobs, folder, wanted, random.Random(f"{seed}{name}")):
                print(f"| {what} | {runs} | {found} |", flush=True)
                bad += any(word.isupper() and len(word) > 2 for word in found.replace(":", "").split())
        except subprocess.TimeoutExpired:
            print(f"| {name} | - | HANGS: not at its end after {PATIENCE:g} s |", flush=True)
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
        if options.folder.exists():
            parser.error(f"{options.folder} exists; name a folder that does not")
        options.folder.mkdir(parents=True)
        return run(options.cases.split(","), options.folder.resolve(), options.seed)
    with tempfile.TemporaryDirectory() as folder:
        return run(options.cases.split(","), Path(folder), options.seed)


if __name__ == "__main__":
    raise SystemExit(main())
