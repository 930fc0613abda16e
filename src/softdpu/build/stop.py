"""How Snakemake is stopped for a user's mistake: with one line instead of a traceback through the rules."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """End the program with exit code 1 and one line where the block raises a SoftdpuError."""
    try:
        yield
    except SoftdpuError as error:
        raise SystemExit(f"error: {error}") from None


def require(value: object, otherwise: str) -> list[str]:
    """Return the inputs of a rule that needs a setting, none; end with one line if it is not there."""
    if not value:
        raise SystemExit(f"error: {otherwise}")
    return []


def require_target(name: str) -> list[str]:
    """Return the inputs of a rule for a board, none; end with a line that names the boards if this is none."""
    with one_line():
        boards.find_target(name)
    return []
