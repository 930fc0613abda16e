"""What lies on a card beside the images: for each task what is right, for its app or the PC to compare with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from softdpu.dataset.example import Record
from softdpu.runtime import Engine


class Truth:
    """Nothing: the name of an image holds its label, or nothing is said about it."""

    def add(self, card: Path, name: str, record: Record) -> None:
        """Write what is right for the image images/`name` of a card folder.

        Raises:
            SoftdpuError: if the record does not hold it.
        """

    def end(self, card: Path) -> None:
        """Write what stands in one file for all images."""


# By task, what makes one for a network; a task that is not here has nothing beside its images.
TRUTHS: dict[str, Callable[[Engine], Truth]] = {}


def find(task: str, engine: Engine) -> Truth:
    """Return what writes the truth of a task for the network that an engine runs."""
    return TRUTHS[task](engine) if task in TRUTHS else Truth()
