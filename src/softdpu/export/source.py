"""What is exported: the whole network as the compiler's graph has it, read from a quantized .h5 or an .xmodel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from softdpu.compiler.compile import compile_keras
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output import files
from softdpu.runtime.program import Node, Program, Value, read_graph
from softdpu.xmodel.load import load

TARGET = "zcu102"


@dataclass(frozen=True)
class Source:
    """A network to export.

    Attributes:
        program: every operation from the input to the outputs.
        file: name of the file that it came from.
        sha256: of that file.
        target: the board whose graph it is.
    """

    program: Program
    file: str
    sha256: str
    target: str

    def provenance(self) -> dict[str, str]:
        """Return what an exported file says of where it comes from."""
        return {"softdpu.source": self.file, "softdpu.source_sha256": self.sha256, "softdpu.target": self.target}


def read_source(model: str | Path, target: str = TARGET) -> Source:
    """Read a quantized .h5 (compiled here for `target`) or a compiled .xmodel.

    Raises:
        SoftdpuError: no such file, a float model, one that is not deployed yet (TQT, trained batch normalization),
            an .xmodel before compilation, or weights in an order that only the hardware knows.
    """
    path = Path(model)
    if not path.is_file():
        raise SoftdpuError(f"there is no model {path}; expected a quantized .h5 or a compiled .xmodel")
    if path.suffix == ".xmodel":
        graph, board = load(path), path.stem
    else:
        board = target
        graph = compile_keras(read_keras_model(path), boards.find_target(target)).to_xir()
    program = read_graph(graph)
    loose = next((node for node in program.nodes if node.kind == "fix"), None)
    if loose is not None:
        raise SoftdpuError(f"{path}: op '{loose.key}' is not compiled yet (fix); export the .h5 or compile it first")
    return Source(set_batch(program, 1), path.name, files.sha256(path), board)


def set_batch(program: Program, batch: int) -> Program:
    """Return the program for another number of images per run.

    Raises:
        SoftdpuError: where an op's shape does not begin with the batch.
    """
    given = {value.shape[0] for value in program.inputs}
    if given == {batch}:
        return program
    if len(given) != 1:
        raise SoftdpuError(f"the inputs begin with different batches {sorted(given)}")
    old = given.pop()

    def at(value: Value) -> Value:
        if value.key in program.constants:
            return value
        if not value.shape or value.shape[0] != old:
            raise SoftdpuError(
                f"op '{value.key}' has shape {list(value.shape)}, which does not begin with {old} images"
            )
        return replace(value, shape=(batch, *value.shape[1:]))

    nodes = tuple(
        replace(
            node,
            inputs={name: tuple(map(at, group)) for name, group in node.inputs.items()},
            output=at(node.output),
            attrs=_set_batch(node, batch),
        )
        for node in program.nodes
    )
    inputs, outputs = tuple(map(at, program.inputs)), tuple(map(at, program.outputs))
    return Program(program.name, nodes, program.constants, inputs, outputs)


def _set_batch(node: Node, batch: int) -> dict[str, object]:
    """Return the attributes of an op, where one holds the batch with the new one."""
    attrs = dict(node.attrs)
    if node.kind.startswith("strided_slice"):
        attrs["end"] = [batch, *list(node.attr("end"))[1:]]
    return attrs


def is_integer(value: Value) -> bool:
    """Tell whether a value is int8 numbers with a position."""
    return value.dtype == np.int8


@contextmanager
def refuse_unwritable(output: str | Path) -> Iterator[None]:
    """Turn a refusal of the file system to write `output` into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in files.DISK_FULL:
            raise
        raise SoftdpuError(f"{output} cannot be written: {error.strerror or error}; choose another folder") from None
