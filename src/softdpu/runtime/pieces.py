"""A whole graph as one engine: its subgraphs one after the other, the DPU's and the CPU's.

What passes from one subgraph to the next is known by its tensor's name. It is kept until the last subgraph that reads
it has run, so memory holds what is still needed and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers.dpu import read_attribute
from softdpu.runtime.engine import Engine, create_engine
from softdpu.runtime.program import Program, Value, value_of_tensor
from softdpu.runtime.reference.registry import Kernel

if TYPE_CHECKING:
    from xir import Graph, Subgraph

USER, DPU, CPU = "USER", "DPU", "CPU"


class GraphEngine:
    """Runs every subgraph of a compiled graph, in order. Not for two threads at once, as any Engine."""

    def __init__(self, name: str, engines: list[Engine], inputs: list[Value], outputs: list[Value]) -> None:
        """Use create_graph_engine instead."""
        self.program = Program(name, (), {}, tuple(inputs), tuple(outputs))
        self._engines = engines
        last = {value.name: index for index, engine in enumerate(engines) for value in engine.program.inputs}
        made = [value.name for engine in engines for value in engine.program.outputs]
        kept = {value.name for value in outputs}
        # by the place of a subgraph, what nothing reads behind it
        self._done: list[list[str]] = [[] for _ in engines]
        for name in [*(value.name for value in inputs), *made]:
            if name in last and name not in kept:
                self._done[last[name]].append(name)

    def run(self, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
        """Run once: arrays in the shapes and data types of program.inputs and program.outputs, in their order."""
        values = {value.name: array for value, array in zip(self.program.inputs, inputs)}
        direct = {value.name: array for value, array in zip(self.program.outputs, outputs)}
        for engine, done in zip(self._engines, self._done):
            program = engine.program
            made = [direct.get(value.name) for value in program.outputs]
            targets = [
                np.empty(value.shape, value.dtype) if array is None else array
                for value, array in zip(program.outputs, made)
            ]
            engine.run([values[value.name] for value in program.inputs], targets)
            values.update(zip((value.name for value in program.outputs), targets))
            for name in done:
                del values[name]
        for name, array in direct.items():
            if values[name] is not array:  # an input that is an output as well
                array[...] = values[name]


def create_graph_engine(
    graph: Graph, engine: str | None = None, kernels: Mapping[str, Kernel] | None = None
) -> GraphEngine:
    """Return an engine for a compiled xir graph, whole.

    Inputs are in the order of the graph's subgraphs, outputs in that of their names, as AMD's graph runner has them.

    Args:
        graph: an xir.Graph; it is read now and not needed afterwards.
        engine: for every subgraph, see create_engine.
        kernels: functions (node, args) -> array for op types of the user's own, which run on the CPU.

    Raises:
        SoftdpuError: a graph that is not compiled, or a subgraph that create_engine refuses.
    """
    root = graph.get_root_subgraph()
    children = [] if root.is_leaf else root.toposort_child_subgraph()
    if not children:
        raise SoftdpuError(f"graph '{graph.get_name()}' has no subgraphs: it is not compiled; compile it for a board")
    inputs: list[Value] = []
    engines: list[Engine] = []
    for child in children:
        device = (read_attribute(child, "device", str) or "none").upper()
        if device == USER:
            inputs += sorted(map(value_of_tensor, child.get_output_tensors()), key=lambda value: value.name)
        elif device not in (DPU, CPU):
            raise SoftdpuError(f"subgraph '{child.get_name()}' has the device {device}, expected USER, DPU or CPU")
        elif child.get_output_tensors() and not _is_constant(child):
            engines.append(create_engine(child, engine, kernels))
    ends = {value.name: value for one in engines for value in one.program.outputs}
    ends.update({value.name: value for value in inputs})
    names = sorted(tensor.name for tensor in root.get_output_tensors() if tensor.name in ends)
    return GraphEngine(graph.get_name(), engines, inputs, [ends[name] for name in names])


def _is_constant(subgraph: Subgraph) -> bool:
    """Whether a subgraph holds constants alone: AMD's compiler leaves such, which nothing reads."""
    return all(op.get_type() in ("const", "const-fix") for op in subgraph.get_ops())
