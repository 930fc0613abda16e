"""The next batch is made while the one before it is used."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable  # noqa: UP035 - Python 3.7 of AMD's containers


class Ahead:
    """Results by number, of which the one that is expected next is made by a thread of its own.

    Args:
        make: called with a number; the same number must always give the same result.
        count: how many there are.
    """

    def __init__(self, make: Callable[[int], Any], count: int) -> None:
        self._make, self._count = make, count
        self._pool = ThreadPoolExecutor(1)  # it starts its thread with the first work
        self._next: tuple[int, Future] | None = None

    def __getitem__(self, i: int) -> Any:
        """Return result `i`, or raise its error, and begin with the one after it."""
        expected, self._next = self._next, None
        if expected is not None and expected[0] == i:
            result = expected[1].result()
        else:
            if expected is not None:
                expected[1].cancel()
            result = self._make(i)
        if i + 1 < self._count:
            self._next = i + 1, self._pool.submit(self._make, i + 1)
        return result
