"""From a command line to what the stages take."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TypeVar

T = TypeVar("T")


def pick(kind: type[T], args: argparse.Namespace, **made: object) -> T:
    """Return the dataclass `kind` with what was `made` of its fields, and of others the options of their names."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: made[name] if name in made else getattr(args, name) for name in names})
