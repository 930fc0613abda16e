"""What lies on a card beside the images: for each task what is right, for its app or the PC to compare with."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

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


class Ordered(Protocol):
    """What of a card.Order a truth is made of."""

    @property
    def records(self) -> Path:
        """The folder of records."""

    @property
    def fit(self) -> str:
        """How an image becomes the input."""

    @property
    def task(self) -> str:
        """What the network is for."""

    @property
    def detection(self) -> str:
        """How outputs become boxes, JSON."""

    @property
    def network(self) -> Path | None:
        """The quantized .h5."""


class MaskTruth(Truth):
    """masks/<stem>.png for images/<stem>.png: uint8 class indices at the size of the network's output."""

    def __init__(self, order: Ordered, engine: Engine) -> None:
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


# By task, "module:class" of what is made of the order and the engine; of another task nothing lies beside the images.
TRUTHS = {
    "segmentation": "softdpu.package.truths:MaskTruth",
    "detection": "softdpu.package.boxes:BoxTruth",
}


def find(order: Ordered, engine: Engine) -> Truth:
    """Return what writes the truth of a task for the network that an engine runs."""
    if order.task not in TRUTHS:
        return Truth()
    module, _, name = TRUTHS[order.task].partition(":")
    truth: Truth = getattr(importlib.import_module(module), name)(order, engine)
    return truth
