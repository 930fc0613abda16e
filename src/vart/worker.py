"""One thread that runs jobs one after the other, and what became of each."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from typing import Callable

from vart.errors import VartError

Job = Callable[[], None]


class _State:
    """What the thread and its owner share; the thread holds no reference to the owner, so that the owner can go."""

    def __init__(self) -> None:
        self.queue: queue.SimpleQueue[tuple[int, Job] | None] = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.pending: set[int] = set()
        self.failed: dict[int, BaseException] = {}
        self.done: set[int] = set()


class Worker:
    """Runs jobs in a thread of its own, in their order.

    The thread is a daemon: a process may end (Ctrl-C) while a job runs.
    """

    def __init__(self, name: str) -> None:
        self._state = _State()
        self._process = os.getpid()
        self._next = 0
        thread = threading.Thread(target=_serve, args=(self._state,), name=name, daemon=True)
        thread.start()
        weakref.finalize(self, self._state.queue.put, None)

    def submit(self, job: Job) -> int:
        """Queue a job and return its number at once.

        Raises:
            VartError: in a process that was forked after the worker was made: threads are not copied.
        """
        self._check_process()
        state = self._state
        with state.changed:
            number = self._next
            self._next = (number + 1) % 2**32
            state.pending.add(number)
        state.queue.put((number, job))
        return number

    def wait(self, number: int) -> None:
        """Wait for a job to end, and raise what it raised. A job can be waited for once.

        Raises:
            VartError: for a number that is not that of a job, or that was waited for before; in a forked process.
        """
        self._check_process()
        state = self._state
        with state.changed:
            if number not in state.pending and number not in state.done:
                raise VartError(
                    f"job {number} is unknown or was waited for already; expected what execute_async gave, once"
                )
            state.changed.wait_for(lambda: number in state.done)
            state.done.discard(number)
            error = state.failed.pop(number, None)
        if error is not None:
            raise error

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise VartError(
                f"the runner was made in process {self._process}; its thread is not in this one, which was forked from"
                " it: make a runner here"
            )


def _serve(state: _State) -> None:
    """Run jobs until None comes."""
    while True:
        item = state.queue.get()
        if item is None:
            return
        number, job = item
        error: BaseException | None = None
        try:
            job()
        except BaseException as raised:  # whatever it is, wait() reports it and the next job runs
            error = raised
        del item, job
        with state.changed:
            if error is not None:
                state.failed[number] = error
                error = None
            state.pending.discard(number)
            state.done.add(number)
            state.changed.notify_all()
