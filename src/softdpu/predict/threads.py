"""Frames per second of an app with several threads.

A frame needs a DPU core for T ms and the app's own processor time of A ms, of which S ms under a lock that all threads
share (Python's). With N threads, C cores and P processors, no app can be faster than

    N / (T + A)     each thread has one frame at a time
    C / T           each core has one frame at a time; T is that of C cores at work
    P / A           each processor has one frame at a time
    1 / S           the lock lets one thread pass at a time

and the smallest of the four is the prediction. A network that does little but read its weights can lose by a further
core, as the model has it; memory does not get slower than that in truth, so the best number of cores is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

THREADS = (1, 2, 4, 6, 8)
PROCESSORS = 4  # Cortex-A53 cores of ZCU102, ZCU104 and KV260


@dataclass(frozen=True)
class App:
    """An app's own milliseconds a frame: `processor` in all, `locked` of them while no other thread can be."""

    processor: float = 0.0
    locked: float = 0.0


def compute_rate(core_ms: Callable[[int], float], cores: int, threads: int, app: App) -> float:
    """Return the frames per second of `threads` threads; `core_ms(n)` is a core's time per frame while n cores work."""
    times = {busy: core_ms(busy) for busy in range(1, min(threads, cores) + 1)}
    bounds = [max(min(threads / (each + app.processor), busy / each) for busy, each in times.items())]
    if app.processor:
        bounds.append(PROCESSORS / app.processor)
    if app.locked:
        bounds.append(1 / app.locked)
    return 1e3 * min(bounds)
