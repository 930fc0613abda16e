"""An .xmodel and what runs it: one DPU subgraph by `vart`, a network of several pieces by `vitis_ai_library`.

Part of card.py, for every app of a card folder; the same modules are AMD's on a board and softdpu's on a PC.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import vart
import xir

SOFTWARE_RUNNER = "libvart-softdpu-runner.so"
ENDS = (
    "fix2float",
    "softmax",
    "reshape",
    "flatten",
    "const",
    "const-fix",
)  # what leaves the largest output where it is


class CardError(Exception):
    """A mistake of the user's or a broken file, explained in one line."""


def open_model(path: str) -> tuple[Any, list[Any]]:
    """Return the graph in the .xmodel at `path` and its DPU subgraphs, which live no longer than the graph."""
    if not os.path.isfile(path):
        raise CardError(f"no such model: {path}; name an .xmodel with --model")
    if os.path.getsize(path) == 0:
        raise CardError(f"{path} is empty; copy the .xmodel again")
    try:
        graph = xir.Graph.deserialize(path)
        root = graph.get_root_subgraph()
        children = [] if root.is_leaf else root.toposort_child_subgraph()
    except Exception as error:
        raise CardError(f"{path} cannot be read ({one_line(error)}); copy or compile the .xmodel again") from error
    return graph, [one for one in children if one.has_attr("device") and one.get_attr("device").upper() == "DPU"]


def create_runners(graph: Any, subgraphs: list[Any], path: str, count: int, of_images: bool = True) -> list[Any]:
    """Return `count` runners of a model's DPU subgraph, or of all its pieces; it takes one colour image, or arrays."""
    if not subgraphs:
        raise CardError(f"{path} has no DPU subgraphs; compile it for this board")
    runner_map = subgraphs[0].get_attr("runner") if subgraphs[0].has_attr("runner") else {}
    if SOFTWARE_RUNNER in (runner_map or {}).values() and not getattr(vart, "__softdpu__", False):
        raise CardError(
            f"{path} holds no DPU instructions: softdpu compiled it for its software DPU, which runs on a PC only; "
            "for a board build it again with `toolchain: vitis-ai` in config.yaml"
        )
    try:
        whole = is_in_pieces(graph, subgraphs)
        runners = [WholeGraph(graph) if whole else vart.Runner.create_runner(subgraphs[0], "run") for _ in range(count)]
    except CardError:
        raise
    except Exception as error:
        raise CardError(f"no runner for {path}: {one_line(error)}") from error
    shapes = [list(tensor.dims) for tensor in runners[0].get_input_tensors()]
    if of_images and (len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3):
        raise CardError(f"{path} takes {shapes}; this app feeds one colour image, [batch, height, width, 3]")
    return runners


def new_buffers(tensors: list[Any]) -> list[np.ndarray]:
    """Return one array per tensor, of the shape and the type that the runner asks for."""
    return [np.zeros(tuple(tensor.dims), type_of(tensor)) for tensor in tensors]


def type_of(tensor: Any) -> Any:
    """Return numpy's type for a tensor: float32 where the network begins or ends on the CPU, else int8."""
    return np.dtype(np.float32 if "float" in str(getattr(tensor, "dtype", "")).lower() else np.int8)


def is_in_pieces(graph: Any, subgraphs: list[Any]) -> bool:
    """Whether one DPU subgraph is not the network: there are several, or the CPU does more than end it."""
    root = graph.get_root_subgraph()
    on_cpu = [one for one in root.toposort_child_subgraph() if one.has_attr("device") and one not in subgraphs]
    on_cpu = [one for one in on_cpu if one.get_attr("device").upper() == "CPU"]
    return len(subgraphs) > 1 or any(op.get_type() not in ENDS for one in on_cpu for op in one.get_ops())


class WholeGraph:
    """A runner of all pieces of a network, with the methods of vart.Runner that an app uses.

    AMD's graph runner computes in execute_async, on buffers of its own.
    """

    def __init__(self, graph: Any) -> None:
        try:
            import vitis_ai_library
        except ImportError:
            raise CardError("this model is in several pieces, which needs the module vitis_ai_library") from None
        self.runner = vitis_ai_library.GraphRunner.create_graph_runner(graph)
        self.inputs, self.outputs = self.runner.get_inputs(), self.runner.get_outputs()

    def get_input_tensors(self) -> list[Any]:
        """Return the network's inputs."""
        return [buffer.get_tensor() for buffer in self.inputs]

    def get_output_tensors(self) -> list[Any]:
        """Return the network's outputs."""
        return [buffer.get_tensor() for buffer in self.outputs]

    def execute_async(self, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> tuple[int, int]:
        """Run the network from `inputs` into `outputs` and return the status as a job that is done."""
        for buffer, array in zip(self.inputs, inputs):
            np.copyto(np.asarray(buffer), array.reshape(np.asarray(buffer).shape))
        status = self.runner.wait(self.runner.execute_async(self.inputs, self.outputs))
        for buffer, array in zip(self.outputs, outputs):
            np.copyto(array, np.asarray(buffer).reshape(array.shape))
        return 0, status

    def wait(self, job: tuple[int, int]) -> int:
        """Return the status of a job."""
        return job[1]


def printable(text: str) -> str:
    """Return `text` with what a terminal cannot show, or obeys, as an escape sequence."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(error: BaseException) -> str:
    """Return what an exception says, as one line."""
    return printable(" ".join(str(error).split())) or type(error).__name__
