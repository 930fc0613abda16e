"""Keras layer names from names of ONNX nodes."""

from __future__ import annotations

from softdpu.output.text import as_layer_name


class Names:
    """Gives each layer a name that Keras and .h5 files take, and no other has, whatever their case."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def unique(self, name: str) -> str:
        """Return a valid name like `name`: `/model/conv1/Conv` becomes model_conv1_Conv, a second one ..._1."""
        valid = as_layer_name(name) or "layer"
        candidate, number = valid, 0
        while candidate.lower() in self._used:
            number += 1
            candidate = f"{valid}_{number}"
        self._used.add(candidate.lower())
        return candidate
