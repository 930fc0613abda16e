"""What a network takes of the files in images/ of a card folder: pixels, scaled as trained, or the arrays of a .npz."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from softdpu import tasks
from softdpu.dataset import arrays, preprocess
from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.package.manifest import PREPROCESS


class Source(NamedTuple):
    """An input of a compiled network: its tensor's name, shape without the batch, position; None for float32."""

    name: str
    shape: tuple[int, ...]
    position: int | None

    @classmethod
    def of(cls, tensor: Any) -> Source:
        """Return what a runner's input tensor is."""
        is_int8 = "int8" in str(tensor.dtype).lower()
        return cls(tensor.name, tuple(tensor.dims[1:]), int(tensor.get_attr("fix_point")) if is_int8 else None)


class Examples:
    """The files in images/ of a card folder, read as its preprocess.json says."""

    def __init__(self, card: Path) -> None:
        """Read preprocess.json."""
        self._folder = card / "images"
        settings = json.loads((card / PREPROCESS).read_text(encoding="utf-8"))
        self._scaling = preprocess.from_dict(settings["scaling"]) if "scaling" in settings else preprocess.TF
        self._names: dict[str, str] | None = settings["inputs"] if settings["fit"] == tasks.ARRAYS else None

    def read(self, names: Sequence[str], inputs: arrays.Inputs) -> list[np.ndarray]:
        """Return float32[files, ...] for each input of a Keras model.

        Raises:
            SoftdpuError: if a file does not fit the network.
        """
        found = [self._read_one(name, inputs) for name in names]
        return [np.stack(values) for values in zip(*found, strict=True)]

    def _read_one(self, name: str, inputs: arrays.Inputs) -> list[np.ndarray]:
        data = (self._folder / name).read_bytes()
        try:
            if self._names is not None:
                return arrays.fit(arrays.read(data), inputs)
            return [preprocess.scale(preprocess.decode(data)[..., ::-1], self._scaling)]
        except ValueError as error:
            raise SoftdpuError(f"{self._folder / name}: {error}; make the card folder again") from None

    def quantized(self, names: Sequence[str], sources: Sequence[Source]) -> list[np.ndarray]:
        """Return [files, ...] for each input of a compiled network, int8, or float32 where it begins on the CPU.

        Raises:
            SoftdpuError: as `read`.
        """
        known = self._names or {}
        inputs = arrays.Inputs(
            tuple(known.get(source.name, source.name) for source in sources),
            tuple(source.shape for source in sources),
        )
        real = self.read(names, inputs)
        return [
            values if source.position is None else fixed_point.quantize(values, source.position, fixed_point.HALF_UP)
            for source, values in zip(sources, real, strict=True)
        ]
