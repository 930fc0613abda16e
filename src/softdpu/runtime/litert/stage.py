"""A finished LiteRT model, ready to run on one thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


class LiteRtStage:
    """An interpreter with a fixed order of input and output values."""

    def __init__(self, model: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Take a flatbuffer and the keys of its inputs and outputs, in its order."""
        self.inputs = list(inputs)
        self.outputs = list(outputs)
        self._interpreter = Interpreter(
            model_content=model, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN
        )
        self._interpreter.allocate_tensors()
        self._sources = [self._interpreter.tensor(d["index"]) for d in self._interpreter.get_input_details()]
        self._targets = [self._interpreter.tensor(d["index"]) for d in self._interpreter.get_output_details()]

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Copy the inputs in, compute (without the interpreter lock), copy the outputs out."""
        for source, array in zip(self._sources, inputs, strict=True):
            source()[...] = array
        self._interpreter.invoke()
        for target, array in zip(self._targets, outputs, strict=True):
            array[...] = target()
