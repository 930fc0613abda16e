"""Settings as words of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def as_options(values: Mapping[str, Any]) -> list[str]:
    """Return settings as options, sorted by key: flags for true, nothing for null, false and [].

    A section within `values` gives the options of its keys, with its name before theirs.
    """
    words: list[str] = []
    for key, value in sorted(values.items()):
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, dict):
            words += as_options({f"{key}_{inner}": content for inner, content in value.items()})
        elif value is True:
            words.append(name)
        elif value is not None and value is not False and value != []:
            words += [name, *map(str, value if isinstance(value, list) else [value])]
    return words
