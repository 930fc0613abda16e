"""Silence for libraries in C++ that print while they are loaded, where no setting turns that off."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Iterator  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

_lock = threading.Lock()  # two threads at once would take each other's silence for the screen


@contextlib.contextmanager
def silence_notices() -> Iterator[None]:
    """Keep what is printed to file descriptor 2 off the screen; errors come as exceptions."""
    with _lock:
        screen = os.dup(2)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(silence)
            os.close(screen)
