"""Which engine runs a subgraph, and how a batch goes through it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers.dpu import read_attribute
from softdpu.runtime.program import Program, Value, read_graph, read_subgraph
from softdpu.runtime.reference import check_kinds, run_program
from softdpu.runtime.reference.registry import Kernel

if TYPE_CHECKING:
    from xir import Graph, Subgraph

log = logging.getLogger("softdpu.runtime")

ENGINES = ("litert", "reference")


class Engine(Protocol):
    """What runs one subgraph. Not for two threads at once; make one engine a thread."""

    program: Program

    def run(self, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """Run once: arrays in the shapes and data types of program.inputs and program.outputs, in their order."""


class ReferenceEngine:
    """The numpy definition of every op."""

    def __init__(self, program: Program, kernels: Mapping[str, Kernel] | None = None) -> None:
        self.program = program
        self._kernels = kernels

    def run(self, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """Run once, see Engine."""
        named = {value.key: array for value, array in zip(self.program.inputs, inputs)}
        results = run_program(self.program, named, self._kernels)
        for value, output in zip(self.program.outputs, outputs):
            output[...] = results[value.key]


def create_engine(subgraph: Subgraph, engine: str | None = None, kernels: Mapping[str, Kernel] | None = None) -> Engine:
    """Return an engine for an xir subgraph.

    Args:
        subgraph: an xir.Subgraph; it is read now and not needed afterwards.
        engine: "litert" or "reference"; None takes the environment's SOFTDPU_ENGINE, else litert.
        kernels: functions (node, args) -> array for op types of the user's own; the subgraph that has such an op runs
            on the reference engine.

    Raises:
        SoftdpuError: for an unknown engine, unreadable weights, or an op that the runtime does not know.
    """
    chosen = engine or os.environ.get("SOFTDPU_ENGINE") or ENGINES[0]
    if chosen not in ENGINES:
        raise SoftdpuError(f"SOFTDPU_ENGINE must be one of {', '.join(ENGINES)}, got '{chosen}'")
    program = read_subgraph(subgraph)
    check_kinds(program, kernels)
    if chosen == "reference" or any(node.kind in (kernels or {}) for node in program.nodes):
        return ReferenceEngine(program, kernels)
    from softdpu.runtime.litert import LiteRtEngine  # the interpreter's import takes longer than the reference needs
    from softdpu.runtime.litert.selfcheck import rounds_as_proven

    if not rounds_as_proven():
        log.warning("LiteRT's kernels on this machine do not round as expected: the slow reference engine runs instead")
        return ReferenceEngine(program)
    on_cpu = (read_attribute(subgraph, "device", str) or "").upper() == "CPU"
    return LiteRtEngine(program, logging.INFO if on_cpu else logging.WARNING)


def evaluate_graph(
    graph: Graph,
    inputs: Mapping[str, np.ndarray] | np.ndarray,
    kernels: Mapping[str, Kernel] | None = None,
) -> dict[str, np.ndarray]:
    """Evaluate a whole xir graph, compiled or as the front end wrote it, with the reference engine.

    Args:
        graph: an xir.Graph.
        inputs: arrays by the name of the data op or of its tensor, or one array for a graph with one input. The first
            dimension may be any multiple of the graph's; float arrays for an integer input are refused.
        kernels: functions (node, args) -> array for op types of the user's own.

    Returns:
        By tensor name, every output that no op consumes.

    Raises:
        SoftdpuError: for missing inputs, wrong shapes, unknown ops.
    """
    program = read_graph(graph)
    given = _sort_by_key(program, inputs)
    batches = {_batches(value, given[value.key]) for value in program.inputs}
    if len(batches) != 1:
        raise SoftdpuError(f"graph '{program.name}': its inputs hold different numbers of images")
    parts = []
    for index in range(batches.pop()):
        part = {v.key: given[v.key][index * v.shape[0] : (index + 1) * v.shape[0]] for v in program.inputs}
        parts.append(run_program(program, part, kernels))
    return {value.name: np.concatenate([part[value.key] for part in parts]) for value in program.outputs}


def _sort_by_key(program: Program, inputs: Mapping[str, np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
    if not isinstance(inputs, Mapping):
        if len(program.inputs) != 1:
            names = ", ".join(value.name for value in program.inputs)
            raise SoftdpuError(f"graph '{program.name}' has {len(program.inputs)} inputs ({names}): pass a dict")
        inputs = {program.inputs[0].key: inputs}
    found = {}
    for value in program.inputs:
        name = value.key if value.key in inputs else value.name
        if name not in inputs:
            raise SoftdpuError(f"graph '{program.name}' needs the input '{value.name}'; given: {', '.join(inputs)}")
        found[value.key] = _as_input(np.asarray(inputs[name]), value)
    return found


def _as_input(array: np.ndarray, value: Value) -> np.ndarray:
    if array.ndim != len(value.shape) or array.shape[1:] != value.shape[1:]:
        raise SoftdpuError(f"input '{value.name}' must have shape {list(value.shape)}, got {list(array.shape)}")
    if value.dtype.kind in "iu" and array.dtype != value.dtype:
        raise SoftdpuError(f"input '{value.name}' must be {value.dtype}, got {array.dtype}")
    return array.astype(value.dtype, copy=False)


def _batches(value: Value, array: np.ndarray) -> int:
    if not len(array) or len(array) % value.shape[0]:
        raise SoftdpuError(f"input '{value.name}' must hold a multiple of {value.shape[0]} images, got {len(array)}")
    return len(array) // value.shape[0]
