"""The graph runner: a `vart.RunnerExt` of a whole graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from softdpu.runtime import GraphEngine, create_graph_engine
from vart import RunnerExt, TensorBuffer, VartError
from vart.runner import batch_of, with_batch
from vitis_ai_library.python_ops import find_python_ops
from xir import Graph, Tensor


class GraphRunner:
    """Makes runners of whole graphs."""

    @staticmethod
    def create_graph_runner(
        graph: Graph, kernels: Mapping[str, Callable[[Any, Any], np.ndarray]] | None = None
    ) -> RunnerExt:
        """Return a runner that runs all subgraphs of a compiled graph, the DPU's and the CPU's, in order.

        It has the methods of vart.RunnerExt: get_inputs, get_outputs, get_input_tensors, get_output_tensors,
        execute_async, wait. Jobs run in the runner's own thread; several runners run side by side.

        Args:
            graph: a compiled xir.Graph; the runner does not need it afterwards.
            kernels: functions (node, args) -> array for op types of your own. Without it they are looked for as AMD's
                runner does, in the folder `vart_op_imp`: see docs/runtime.md.

        Raises:
            VartError: not an xir.Graph, or an unknown DPU.
            SoftdpuError: a graph that is not compiled, or an op that the runtime has not.
        """
        if not isinstance(graph, Graph):
            raise VartError(f"create_graph_runner takes an xir.Graph, got {type(graph).__name__}")
        given = dict(kernels or {})
        engine = create_graph_engine(graph, kernels={**find_python_ops(graph, given), **given})
        batch = max((batch_of(child) for child in graph.get_root_subgraph().get_children()), default=1)
        tensors = {op.get_output_tensor().name: op.get_output_tensor() for op in graph.get_ops()}
        program = engine.program
        inputs, outputs = (
            [with_batch(tensors[value.name], batch) for value in values] for values in (program.inputs, program.outputs)
        )
        return _WholeGraph(graph.get_name(), engine, inputs, outputs)


class _WholeGraph(RunnerExt):
    """A runner whose buffers are its own: get_inputs and get_outputs give the same ones every time, as AMD's do."""

    def __init__(self, name: str, engine: GraphEngine, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        super().__init__(name, engine, inputs, outputs)
        self._input_buffers, self._output_buffers = super().get_inputs(), super().get_outputs()

    def get_inputs(self) -> list[TensorBuffer]:
        """Return the runner's buffer for each input."""
        return list(self._input_buffers)

    def get_outputs(self) -> list[TensorBuffer]:
        """Return the runner's buffer for each output."""
        return list(self._output_buffers)

    def __repr__(self) -> str:
        return f"<vitis_ai_library graph runner of '{self._name}'>"
