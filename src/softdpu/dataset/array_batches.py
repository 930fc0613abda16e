"""Batches of inputs that are no image, from record files whose examples are .npz files of arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from softdpu.dataset import arrays
from softdpu.dataset.pipeline import select, share
from softdpu.dataset.targets import Labels, Targets
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike


class ArrayBatches:
    """Batches of (inputs, int64[n] of zeros) in the records' order; inputs are float32[n, ...], or a tuple of several.

    It has the methods of pipeline.Batches that calibration and evaluation use.

    Attributes:
        images: examples of one epoch.
        batch_size: of every batch but the last.
        shape: of one example: that of the input, or a tuple of shapes for several.
    """

    def __init__(self, folder: PathLike, inputs: arrays.Inputs, batch_size: int, images: int | None = None) -> None:
        """Open the records of a folder.

        Args:
            folder: with .tfrecord files.
            inputs: of the network.
            batch_size: in examples.
            images: take that many, evenly spread over all records; None takes all.

        Raises:
            SoftdpuError: if records are missing, broken, or fewer than asked for.
        """
        self._reader, self._selection = select(folder, images)
        self._inputs = inputs
        self.images, self.batch_size = len(self._selection), batch_size
        self.shape: Any = inputs.shapes[0] if len(inputs.shapes) == 1 else inputs.shapes
        self.targets: Targets = Labels()

    def __len__(self) -> int:
        return math.ceil(self.images / self.batch_size)

    def __getitem__(self, i: int) -> tuple[Any, np.ndarray]:
        return self.part(i)[:2]

    def part(self, i: int, number: int = 0, parts: int = 1) -> tuple[Any, np.ndarray, int]:
        """Return inputs and zeros of part `number` of batch `i`, and the size of the whole batch.

        Raises:
            SoftdpuError: if an example does not fit the network.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"batch {i} of {len(self)}")
        batch = self._selection[i * self.batch_size : (i + 1) * self.batch_size]
        chosen = batch[share(len(batch), number, parts)]
        found = [np.empty((len(chosen), *shape), np.float32) for shape in self._inputs.shapes]
        for row, place in enumerate(chosen):
            for array, values in zip(found, self._load(int(place))):  # noqa: B905 - strict is not in Python 3.7
                array[row] = values
        return found[0] if len(found) == 1 else tuple(found), np.zeros(len(chosen), np.int64), len(batch)

    def start(self, epoch: int) -> None:
        """Go to an epoch; all are alike."""

    def on_epoch_end(self) -> None:
        """Go to the next epoch; all are alike."""

    def _load(self, place: int) -> list[np.ndarray]:
        try:
            return arrays.fit(arrays.read(self._reader[place].image), self._inputs)
        except ValueError as error:
            raise SoftdpuError(f"{self._reader.place(place)}: {error} (dataset.path, model.file)") from None
