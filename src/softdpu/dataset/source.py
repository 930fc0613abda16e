"""What a source of images is: any data set that can name its classes and read one shard of image files at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class RawImage(NamedTuple):
    """An image file as the source has it: its name there, its class 0..classes-1, its bytes.

    problem: why the source itself cannot use it (it is then left out and named in the manifest), or "".
    target: what is right, where that is more than a class (example.Record.target).
    present: the classes that the image counts for, where they are not its label.
    arrays: whether the bytes are a .npz of arrays instead of an image.
    """

    name: str
    label: int
    data: bytes
    problem: str = ""
    target: bytes = b""
    present: tuple[int, ...] | None = None
    arrays: bool = False


class SourceFile(NamedTuple):
    """A file that a shard is read from: its name, size in bytes and SHA-256."""

    name: str
    size: int
    sha256: str


class Source(Protocol):
    """One split of a data set: the names of its `classes`, by label, and the number of `shards` it is written to."""

    classes: list[str]
    shards: int

    def count(self, shard: int) -> int:
        """Return about how many images a shard holds, for the progress bar."""

    def read(self, shard: int) -> Iterator[RawImage]:
        """Yield the images of a shard, in an order that depends on nothing but the source."""

    def files(self, shard: int) -> list[SourceFile]:
        """Return the files that the shard was read from, with their checksums; call it after `read`."""


def split_range(count: int, shard: int, shards: int) -> range:
    """Return which of `count` items belong to a shard: consecutive ones, sizes differ by one at most."""
    return range(count * shard // shards, count * (shard + 1) // shards)
