"""Ctrl-C ends a program, also where the exception that Python makes of it is lost.

Python raises KeyboardInterrupt between two steps of the main thread. That never comes while TensorFlow computes in that
thread, is swallowed in callbacks and destructors, and does not help a process that waits for TensorFlow's threads at
its end. So a thread hears of the signal at once, and lets the kernel end a process that is still there after GRACE
seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from typing import Iterator  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

GRACE = 10  # seconds in which a program may clear away what it began


class _Guard:
    """The thread that hears of Ctrl-C while a program runs."""

    def __init__(self) -> None:
        self._mine, self._pythons = os.pipe()
        os.set_blocking(self._pythons, False)
        self._before = signal.set_wakeup_fd(self._pythons, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            number = os.read(self._mine, 1)
            if number == bytes([signal.SIGINT]):
                signal.alarm(GRACE)
            elif number == b"\0":
                return

    def close(self) -> None:
        """Watch no more, and let no alarm go off that an interruption has set."""
        signal.set_wakeup_fd(self._before)
        os.write(self._pythons, b"\0")
        self._thread.join()
        signal.alarm(0)
        os.close(self._mine)
        os.close(self._pythons)


@contextlib.contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the block within GRACE seconds, and the process if it does not end."""
    if not _is_default():
        yield
        return
    guard = _Guard()
    try:
        yield
    finally:
        guard.close()


def bound_the_end() -> None:
    """Let the end of this process, where libraries wait for their threads, take no longer than GRACE seconds."""
    if _is_default():
        atexit.register(signal.alarm, GRACE)


def leave_to_script() -> None:
    """Watch no more in the block around: a user's own script may take Ctrl-C as it likes."""
    signal.set_wakeup_fd(-1)


def _is_default() -> bool:
    """Return whether nobody else has a say in what Ctrl-C and alarms do."""
    return (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    )
