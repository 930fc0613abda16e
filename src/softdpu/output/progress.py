"""How far a program is: a line now and then with the time left, or tqdm's bar where tqdm is installed.

On a terminal a line is drawn over and over; in a log each state that is shown is a line of its own.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Callable, Iterable, Iterator, TextIO, TypeVar  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

_SECONDS = 5.0  # between two lines of a log


class _Lines:
    """A stream that gets the states of a bar as lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.encoding, self._last = stream, stream.encoding, ""

    def write(self, text: str) -> None:
        """Write what tqdm draws between a carriage return and the blanks that hide the state before."""
        state = text.strip()
        if state and state != self._last:
            self._stream.write(state + "\n")
            self._last = state

    def isatty(self) -> bool:
        """Return False: a bar that is for terminals alone is not shown."""
        return False

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


try:
    import tqdm as _tqdm

    class tqdm(_tqdm.tqdm):
        """A bar of tqdm, with its arguments."""

        def __init__(self, *items: Any, **options: Any) -> None:
            stream = options.get("file") or sys.stderr
            if not stream.isatty():
                options.update(file=_Lines(stream), mininterval=_SECONDS)
            super().__init__(*items, **options)

except ImportError:

    class tqdm:  # type: ignore[no-redef]
        """What softdpu uses of tqdm, without showing anything."""

        def __init__(self, items: Iterable[Any] = (), **_: object) -> None:
            self._items = items

        def __iter__(self) -> Iterator[Any]:
            return iter(self._items)

        def __enter__(self) -> tqdm:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int = 1) -> None:
            """Count nothing."""


T = TypeVar("T")
NOW = "now: "  # lines of a log that begin so are shown by a build while the rule runs

_FEW = 12  # steps after which the whole time is said; the first, which also builds the graph, does not count


def duration(seconds: float) -> str:
    """Return a time for people: 4.2 s, 3 m 05 s or 2 h 07 m."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} m {int(seconds % 60):02} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02} m"


class Steps:
    """Counts equal steps and prints how many are done and how long the others will take.

    On a terminal the line is drawn over and over; in a log there is one at most every `interval` seconds.

    Args:
        what: that is done, one word.
        total: number of steps.
        announce: say after the first steps how long all will take here.
        interval: seconds between two lines.
        stream: default is standard output.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        what: str,
        total: int,
        announce: bool = False,
        interval: float = _SECONDS,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what, self._total, self._announce, self._interval = what, total, announce, interval
        self._stream = stream or sys.stdout
        self._over = self._stream.isatty()
        self._clock = clock
        self._done, self._first, self._shown = 0, 0.0, clock()

    def update(self) -> None:
        """Count one step more."""
        self._done += 1
        now = self._clock()
        if self._done == 1:
            self._first = now
            return
        a_step = (now - self._first) / (self._done - 1)
        if self._announce and self._done == min(_FEW, self._total):
            whole, each = duration(a_step * self._total), f"{1000 * a_step:.0f} ms"
            self._print(f"{NOW}{self._what}: about {whole} on this machine, {self._total} steps of {each}", "\n")
        last = self._done == self._total
        if now - self._shown >= (0.2 if self._over else self._interval) or (last and self._over):
            self._shown = now
            left = duration(a_step * (self._total - self._done))
            text = f"{self._what}: step {self._done} of {self._total}, {left} left"
            self._print(text, "\n" if last or not self._over else "")

    def count(self, things: Iterable[T]) -> Iterator[T]:
        """Yield things, each of which is one step that has ended when the next is asked for."""
        for thing in things:
            yield thing
            self.update()

    def _print(self, text: str, end: str) -> None:
        self._stream.write(("\r\033[K" if self._over else "") + text + end)
        self._stream.flush()


__all__ = ["NOW", "Steps", "duration", "tqdm"]
