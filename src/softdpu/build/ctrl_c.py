"""Ctrl-C reaches every job of a build on this machine, also one that is just about to start.

A terminal sends the signal to all processes that are there. Snakemake then waits for its jobs: one that it had chosen
to start does start, has heard nothing, and would run to its end, for hours if it is a training. And the exception may
meet Snakemake where it ends in a traceback. So Snakemake is asked to stop as SIGTERM asks it, between two jobs, and
jobs that have not heard the signal get it.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

import psutil

_STEP = 0.5  # seconds
_AGAIN = 5  # seconds after which a job that was there is taken for one that has not heard
_told: dict[int, float] = {}


def reach_every_job() -> None:
    """Take Ctrl-C from now on; does nothing where it is ignored, as in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop) or _told:  # before Snakemake schedules, or for the second time
        raise KeyboardInterrupt
    heard = time.monotonic()
    _told.update((process.pid, heard) for process in [psutil.Process(), *psutil.Process().children(recursive=True)])
    threading.Thread(target=_tell_others, args=[stop], daemon=True).start()


def _tell_others(stop: Callable[..., object]) -> None:
    """Interrupt what runs below this process: at once what began after the signal, later what is still there."""
    stop(signal.SIGTERM, None)  # not where the signal came, for it waits for a lock that the main thread may hold
    while True:
        now = time.monotonic()
        for process in psutil.Process().children(recursive=True):
            if now - _told.get(process.pid, -_AGAIN) >= _AGAIN:
                _told[process.pid] = now
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGINT)
        time.sleep(_STEP)
