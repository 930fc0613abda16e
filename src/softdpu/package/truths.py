"""What lies on a card beside the images: for each task what is right, for its app or the PC to compare with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from softdpu.dataset.example import Record
from softdpu.dataset.masks import Masks, encode
from softdpu.errors import SoftdpuError
from softdpu.output import files
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


class MaskTruth(Truth):
    """masks/<stem>.png for images/<stem>.png: uint8 class indices at the size of the network's output."""

    def __init__(self, engine: Engine) -> None:
        """Take the size from the output [batch, height, width, classes]."""
        shape = engine.program.outputs[0].shape
        self._targets = Masks(shape[1], shape[2], shape[3])

    def add(self, card: Path, name: str, record: Record) -> None:
        """Write the mask of an image."""
        try:
            mask = self._targets.load(record)
        except ValueError as error:
            raise SoftdpuError(f"{name}: {error}") from None
        files.write_bytes(card / "masks" / name, encode(mask))


# By task, what makes one for a network; a task that is not here has nothing beside its images.
TRUTHS: dict[str, Callable[[Engine], Truth]] = {"segmentation": MaskTruth}


def find(task: str, engine: Engine) -> Truth:
    """Return what writes the truth of a task for the network that an engine runs."""
    return TRUTHS[task](engine) if task in TRUTHS else Truth()
