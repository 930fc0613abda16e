"""Mutated inputs for a door whose libraries could crash or hang: forked workers, thousands of cases each.

A case is its number, from which its random numbers come, so that a failure can be run again alone: SOFTDPU_FUZZ_ONLY=n.
What fails: a traceback, a signal, a hang, more than 1 GiB, a file written outside the case's folder or left in it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, ClassVar

from mutate import WAITING, seeded, tries

from softdpu.errors import SoftdpuError

MEMORY = 1 << 30  # bytes that one worker may take beyond what its start took
TAKEN, REFUSED = "taken", "refused"


@dataclass(frozen=True)
class Door:
    """One kind of input.

    Attributes:
        name: for the command and the printed line.
        make: (random, folder) writes a case into the folder and returns what `take` takes; it must not fail.
        take: hands a case to the program's own functions; a refusal is a SoftdpuError or one of `refusals`.
        prepare: runs once, before the workers are forked: imports, seeds.
        refusals: further exceptions by which the door refuses.
        seconds: of processor time that one case may take; WAITING times as many by the clock.
    """

    name: str
    make: Callable[[random.Random, Path], Any]
    take: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None
    refusals: tuple[type[BaseException], ...] = ()
    seconds: float = 20.0


@dataclass
class Outcome:
    """What came of the cases of one door: counts, and the number and text of each failure."""

    name: str
    tried: int = 0
    taken: int = 0
    refused: int = 0
    failures: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    def line(self) -> str:
        """Return the one line that a run prints."""
        return (
            f"{self.name}: tried {self.tried}, taken {self.taken}, refused in one line {self.refused},"
            f" failed {len(self.failures)}, in {self.seconds:.0f} s"
        )


def run(door: Door, few: int, workers: int = 2) -> Outcome:
    """Try `few` cases, or as many as `mutate.tries` says, print their counts, and return what came of them.

    SOFTDPU_FUZZ_ONLY=n tries case n alone.
    """
    outcome, start = Outcome(door.name), time.monotonic()
    only = os.environ.get("SOFTDPU_FUZZ_ONLY")
    first, count = (int(only), 1) if only else (0, tries(few))
    door.prepare()
    numbers = iter(range(first, first + count))
    context = multiprocessing.get_context("fork")
    running: dict[Connection, _Running] = {}

    def begin() -> None:
        mine, other = context.Pipe()
        process = context.Process(target=_work, args=(door, other), daemon=True)
        process.start()
        other.close()
        running[mine] = _Running(process)
        _next(mine)

    def _next(connection: Connection) -> None:
        number = next(numbers, None)
        connection.send(number)
        if number is None:
            running.pop(connection).process.join(5)
            return
        running[connection].begin(number)

    for _ in range(workers):
        begin()
    while running:
        for connection in wait(list(running), timeout=1):
            assert isinstance(connection, Connection)
            number = running[connection].number
            try:
                what, text = connection.recv()
            except EOFError:
                process = running.pop(connection).process
                process.join(5)
                what, text = "failed", f"the process ended with {process.exitcode}"
                _count(outcome, number, what, text)
                begin()
                continue
            _count(outcome, number, what, text)
            _next(connection)
        for connection, state in list(running.items()):
            if state.spent() > door.seconds or time.monotonic() - state.since > WAITING * door.seconds:
                state.process.kill()
                state.process.join(5)
                del running[connection]
                _count(outcome, state.number, "failed", f"hangs for more than {door.seconds:g} s")
                begin()
    outcome.seconds = time.monotonic() - start
    print(outcome.line())
    return outcome


def judge(outcome: Outcome) -> None:
    """Fail on any failure, and where a door takes or refuses all, which shows nothing."""
    assert not outcome.failures, "\n".join(f"case {number}: {text}" for number, text in outcome.failures[:20])
    assert outcome.tried == 1 or (outcome.taken and outcome.refused)


@dataclass
class _Running:
    process: Any
    number: int = -1
    since: float = 0.0
    _before: float = 0.0

    def begin(self, number: int) -> None:
        """Note when a case begins."""
        self.number, self.since = number, time.monotonic()
        self._before = self._processor_time()

    def spent(self) -> float:
        """Return the seconds of processor time that the case has taken."""
        return self._processor_time() - self._before

    def _processor_time(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        except OSError:  # ended
            return self._before
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _count(outcome: Outcome, number: int, what: str, text: str) -> None:
    outcome.tried += 1
    outcome.taken += what == TAKEN
    outcome.refused += what == REFUSED
    if what not in (TAKEN, REFUSED):
        outcome.failures.append((number, text))


def _work(door: Door, connection: Connection) -> None:
    """Try the cases whose numbers come through a pipe, until None comes."""
    with tempfile.TemporaryDirectory() as name, open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        if not os.environ.get("FUZZ_STDERR"):
            os.dup2(nowhere.fileno(), 2)
        watch = _Watch(Path(name))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        limit = _data_size() + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        while True:
            number = connection.recv()
            if number is None:
                break
            connection.send(_try(door, number, watch))
    os._exit(0)


def _data_size() -> int:
    """Return the bytes of private memory that this process has mapped."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmData")) << 10


class _Watch:
    """Notes what a case does outside its folder: files opened for writing, removed or renamed, programs started."""

    _PATHS: ClassVar = {"os.remove": (0,), "os.rename": (0, 1), "os.mkdir": (0,), "os.rmdir": (0,), "os.symlink": (1,)}
    _NEVER = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "os.kill")

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.on = False
        self.found: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in self._NEVER:
            self.found.append(f"{event} {args!r:.200}")
        elif event == "open" and isinstance(args[0], (str, bytes)):
            if isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._path(args[0])
        elif event in self._PATHS:
            for index in self._PATHS[event]:
                self._path(args[index])

    def _path(self, path: Any) -> None:
        text = os.fsdecode(path)
        if os.path.realpath(text).startswith(f"{self.folder}{os.sep}") or text in (os.devnull, str(self.folder)):
            return
        if not text.startswith(tempfile.gettempdir()) and not text.endswith(".pyc"):
            self.found.append(f"writes {text}")


def _try(door: Door, number: int, watch: _Watch) -> tuple[str, str]:
    folder = watch.folder / str(number)
    folder.mkdir()
    os.chdir(folder)
    try:
        case = door.make(seeded(f"{door.name} {number}"), folder)
        before = set(os.listdir(folder))
        watch.found, watch.on = [], True
        try:
            door.take(case)
            what, text = TAKEN, ""
        except (SoftdpuError, *door.refusals) as error:
            what, text = REFUSED, str(error)
        finally:
            watch.on = False
        if what == REFUSED and ("\n" in text.strip() or len(text) > 2000 or not text.strip()):
            return "failed", f"no line of a usual length: {text[:300]!r}"
        if watch.found:
            return "failed", "; ".join(watch.found)
        if set(os.listdir(folder)) - before:
            return "failed", f"leaves files behind: {sorted(set(os.listdir(folder)) - before)}"
        return what, text
    except MemoryError:
        return "failed", "takes more than 1 GiB: " + traceback.format_exc(limit=-4)
    except BaseException:  # whatever it is, it is a defect
        return "failed", traceback.format_exc(limit=-8)
    finally:
        os.chdir(watch.folder)
        shutil.rmtree(folder, ignore_errors=True)
