"""Bars on a terminal, one a rule that runs; how far it is stands in the last lines of its log."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from softdpu.output.progress import NOW

TAIL = 4000  # bytes of a log that are looked at
INTERVAL = 0.5  # seconds between two looks

_STEPS = re.compile(r": step (\d+) of (\d+), (.+) left")
_TQDM = re.compile(r"(\d+)%\|")
_KERAS = re.compile(r"(\d+)/(\d+) \[")
_EPOCH = re.compile(r"Epoch (\d+)/(\d+)")


def share_done(tail: str) -> float | None:
    """Return how far a program is, 0 to 1, by the steps or the bar at the end of its log; None without them."""
    lines = re.split(r"[\r\n\b]+", tail)
    for line in reversed([line for line in lines if line.strip()][-3:]):
        if found := _STEPS.search(line):
            return int(found[1]) / max(int(found[2]), 1)
        if found := _TQDM.search(line):
            return int(found[1]) / 100
        if found := _KERAS.search(line):
            done = int(found[1]) / max(int(found[2]), 1)
            epochs = _EPOCH.findall(tail)
            return (int(epochs[-1][0]) - 1 + done) / int(epochs[-1][1]) if epochs else done
    return None


class Bars:
    """The bars of all rules that run; without a terminal only the lines, those of logs that begin with NOW too."""

    def __init__(self, stream: TextIO, on: bool = True) -> None:
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
        self._on = on and self._console.is_terminal
        self._tasks: dict[int, tuple[Any, list[str]]] = {}
        self._said: dict[int, set[str]] = {}
        self._end: threading.Event | None = None
        self._lock = threading.Lock()  # a bar may go while another thread looks at its log

    def write(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(line))

    def add(self, number: int, text: str, logs: Iterable[str]) -> None:
        """Show a bar for the rule `number`."""
        with self._lock:
            self._tasks[number] = (self._progress.add_task(text, total=None), list(logs))
        self._said[number] = set()
        if self._end is None:
            self._end = threading.Event()
            if self._on:
                self._progress.start()
            threading.Thread(target=self._look, args=(self._end,), daemon=True).start()

    def remove(self, number: int) -> None:
        """Take the bar of the rule `number` away; with the last one the cursor comes back."""
        with self._lock:
            task = self._tasks.pop(number, None)
            if task:
                self._progress.remove_task(task[0])
        if not self._tasks:
            self.close()

    def close(self) -> None:
        """Take all bars away."""
        if self._end is not None:
            self._end.set()
            self._end = None
            if self._on:
                self._progress.stop()

    def _look(self, end: threading.Event) -> None:
        while not end.wait(INTERVAL):
            for number, (task, logs) in list(self._tasks.items()):
                self._say_now(number, logs)
                done = max((share for share in map(share_done, map(_tail, logs)) if share is not None), default=None)
                with self._lock:
                    if done is not None and number in self._tasks:
                        self._progress.update(task, total=1.0, completed=done)

    def _say_now(self, number: int, logs: Iterable[str]) -> None:
        """Print the lines that a program wants to be seen while it runs, each once."""
        for log in logs:
            for line in re.split(r"[\r\n\b]+", _tail(log))[:-1]:  # the last one may not be whole
                if line.startswith(NOW) and line not in self._said.setdefault(number, set()):
                    self._said[number].add(line)
                    self.write(line[len(NOW) :])


def _tail(log: str) -> str:
    """Return the end of a log, nothing if there is none yet."""
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
