"""Small compiled graphs, made with xir alone."""

from __future__ import annotations

from typing import Any

import numpy as np

import xir

RUNNERS = {"run": "libvart-softdpu-runner.so", "ref": "libvart-softdpu-runner.so"}


def compiled(
    fingerprint: int = 0x101000056010407, names: tuple[str, ...] = ("b", "a"), shape=(1, 4, 5, 3)
) -> xir.Graph:
    """Return a graph of inputs `names`, a sum, a convolution, and two outputs, partitioned as a compiler does it."""
    graph = xir.Graph("small")

    def op(name: str, kind: str, position: int, inputs: dict[str, list[Any]], **attrs: Any) -> Any:
        made = graph.create_op(name, kind, attrs, inputs)
        made.get_output_tensor().set_attr("fix_point", position)
        return made

    data = [op(name, "data-fix", 5, {}, shape=list(shape), data_type="XINT8") for name in names]
    total = op("total", "eltwise-fix", 4, {"input": data}, type="ADD", nonlinear="NONE")
    numbers = np.arange(2 * 9 * 3, dtype=np.int8) - 20
    weights = op("w", "const-fix", 6, {}, shape=[2, 3, 3, 3], data_type="XINT8", data=numbers.tobytes())
    inputs = {"input": [total], "weights": [weights]}
    conv = op("conv", "conv2d-fix", 3, inputs, kernel=[3, 3], stride=[1, 1], pad=[1, 1, 1, 1], nonlinear="NONE")
    op("z", "download", 4, {"input": [total]})
    op("y", "download", 3, {"input": [conv]})
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    user = {child for child in root.get_children() if any(child.has_op(name) for name in names)}
    for child in user:
        child.set_attr("device", "USER")
    dpu = root.merge_children(root.get_children() - user)
    dpu.set_attr("device", "DPU")
    dpu.set_attr("dpu_fingerprint", xir.Attr("uint64", fingerprint))
    dpu.set_attr("runner", RUNNERS)
    return graph


def dpu_of(graph: xir.Graph) -> xir.Subgraph:
    """Return the DPU subgraph."""
    return next(child for child in graph.get_root_subgraph().get_children() if child.get_attr("device") == "DPU")


def buffers(runner: Any, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return random inputs and outputs full of 99."""
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(-128, 128, tensor.dims).astype(np.int8) for tensor in runner.get_input_tensors()]
    return inputs, [np.full(tensor.dims, 99, np.int8) for tensor in runner.get_output_tensors()]
