"""Seeded mutations of bytes, text and JSON, and the counting of what a door does with them.

SOFTDPU_FUZZ=n tries n inputs a door instead of the few of a test run; `make fuzz` sets it.
SOFTDPU_FUZZ_SEED=n draws others.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from typing import Any

from softdpu.errors import SoftdpuError

SECONDS = 20  # of processor time that one input may take
WAITING = 10  # times as long on the clock, for the machine may be busy
MEMORY = 1 << 20  # KiB that a door may add to the process
NUMBERS = (0, -1, 1, 255, 256, 2**31 - 1, 2**31, -(2**63), 2**63, 10**40, 0.5, 1e308, float("nan"), float("inf"))
TEXTS = (
    "",
    " ",
    "0",
    "x" * 5000,
    "a\nb",
    "a\r",
    "\x1b[2J\x1b]0;x\x07",
    "\u2028",
    "\x85",
    "\u202e",
    "..",
    "é\udcff",
    "\0",
)


def tries(few: int) -> int:
    """Return how many inputs a door gets."""
    return int(os.environ.get("SOFTDPU_FUZZ", few))


def seeded(number: int | str) -> random.Random:
    """Return random numbers that go by a number and by SOFTDPU_FUZZ_SEED."""
    return random.Random(f"{number} {os.environ.get('SOFTDPU_FUZZ_SEED', '')}".strip())


class Door:
    """Counts what a door takes and refuses; anything but one printable line of a refusal fails the test."""

    def __init__(self, name: str, *refusals: type[BaseException]) -> None:
        self.name, self.refusals = name, refusals or (SoftdpuError,)
        self.tried = self.taken = self.refused = 0
        self.memory = _most_memory()
        self.jumps: list[tuple[int, int]] = []  # inputs that took more memory than those before them, in MiB

    def attempt(self, call: Callable[[], object]) -> None:
        """Let the door have one input."""
        self.tried += 1
        before = _most_memory()
        try:
            with limited(SECONDS):
                call()
        except self.refusals as error:
            assert "\n" not in str(error).strip() and str(error), error
            self.refused += 1
        else:
            self.taken += 1
        if (jump := _most_memory() - before >> 10) > 50:
            self.jumps.append((self.tried, jump))

    def close(self) -> None:
        """Print the counts and check the memory."""
        grown = _most_memory() - self.memory
        print(
            f"{self.name}: {self.tried} tried, {self.taken} taken, {self.refused} refused in one line, "
            f"{grown >> 10} MiB of memory"
        )
        assert grown < MEMORY, f"{grown >> 10} MiB; inputs that took more than before, and how many MiB: {self.jumps}"
        assert self.tried == self.taken + self.refused > 0


def _most_memory() -> int:
    """Return the KiB that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise AssertionError if the block takes more processor time, or WAITING times as long by the clock."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"hangs: more than {seconds} s")

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, WAITING * seconds))
    before = [(number, signal.signal(number, give_up)) for _, number, _ in timers]
    for timer, _, limit in timers:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, _, _ in timers:
            signal.setitimer(timer, 0)
        for number, handler in before:
            signal.signal(number, handler)


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return `data` with one to four places changed, cut, doubled or filled."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 1, 2, 4, 8, 64))
        kind = rng.randrange(7)
        if kind == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            out[at : at + length] = bytes([rng.choice((0, 255, 127, 128))]) * length
        elif kind == 2:
            del out[at : at + length]
        elif kind == 3:
            out[at:at] = out[at : at + length]
        elif kind == 4:
            out[at : at + length] = rng.randbytes(length)
        elif kind == 5 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif rng.random() < 0.2:
            del out[at:]
    return bytes(out)


def mutate_text(text: str, rng: random.Random) -> str:
    """Return `text` with pieces replaced by odd ones, then perhaps some bytes changed."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice((*TEXTS, *map(str, NUMBERS))) + text[at + rng.choice((0, 1, 5, 30)) :]
    return mutate_bytes(text.encode("utf-8", "replace"), rng).decode(errors="replace") if rng.random() < 0.5 else text


def mutate_value(value: Any, rng: random.Random, depth: int = 0) -> Any:
    """Return a JSON value with one place in it of another value, another type, missing, or deep."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value))
        changed = dict(value)
        what = rng.random()
        if what < 0.15:
            del changed[key]
        elif what < 0.25:
            changed[rng.choice(TEXTS)] = changed.pop(key)
        else:
            changed[key] = mutate_value(value[key], rng, depth + 1)
        return changed
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        return [*value[:place], mutate_value(value[place], rng, depth + 1), *value[place + 1 :]]
    return rng.choice(
        (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], {"": None}, [value, value], deep(200), deep(3))
    )


def deep(levels: int) -> Any:
    """Return nested lists."""
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def mutate_json(value: Any, rng: random.Random) -> str:
    """Return JSON text of a mutated value, in one of twenty cases broken or far too deep."""
    if rng.random() < 0.03:
        return "[" * 100000
    text = json.dumps(mutate_value(value, rng))
    return mutate_text(text, rng) if rng.random() < 0.05 else text
