"""A progress bar: tqdm's, or none where tqdm is not installed, as in some of AMD's containers."""

from __future__ import annotations

from typing import Any, Iterable, Iterator  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

try:
    from tqdm import tqdm
except ImportError:

    class tqdm:  # type: ignore[no-redef]
        """What softdpu uses of tqdm, without showing anything."""

        def __init__(self, items: Iterable[Any] = (), **_: object) -> None:
            self._items = items

        def __iter__(self) -> Iterator[Any]:
            return iter(self._items)

        def __enter__(self) -> tqdm:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int = 1) -> None:
            """Count nothing."""


__all__ = ["tqdm"]
