"""From a command line to what the stages take."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TypeVar

T = TypeVar("T")


def pick(kind: type[T], args: argparse.Namespace) -> T:
    """Return the dataclass `kind` with the options of its fields' names."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: getattr(args, name) for name in names})
