"""Opening .xmodel files, and small questions about what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import xir
from softdpu.errors import SoftdpuError
from softdpu.numbers.dpu import read_attribute, read_fingerprint


def load(path: str | os.PathLike[str]) -> xir.Graph:
    """Return the graph in the .xmodel file at `path`.

    Raises:
        SoftdpuError: no such file, or it holds no graph.
    """
    try:
        return xir.Graph.deserialize(path)
    except xir.XirError as error:
        raise SoftdpuError(str(error)) from None


def list_devices(graph: xir.Graph) -> list[tuple[str, xir.Subgraph]]:
    """Return (device, subgraph) for each part of a compiled graph in order; one ("", root) when it is not compiled.

    Raises:
        SoftdpuError: parts depend on each other in a cycle.
    """
    try:
        found = list(_walk_devices(graph.get_root_subgraph()))
    except xir.XirError as error:
        raise SoftdpuError(str(error)) from None
    return found or [("", graph.get_root_subgraph())]


def _walk_devices(subgraph: xir.Subgraph) -> Iterator[tuple[str, xir.Subgraph]]:
    for child in subgraph.toposort_child_subgraph():
        device = read_attribute(child, "device", str)
        if device is not None:
            yield device, child
        else:
            yield from _walk_devices(child)


def read_position(op: xir.Op) -> int | None:
    """Return the position of an op's output, None for one that has none."""
    tensor = op.get_output_tensor()
    return read_attribute(tensor if tensor.has_attr("fix_point") else op, "fix_point", int)


def list_fingerprints(graph: xir.Graph) -> list[int]:
    """Return the fingerprints of all DPU subgraphs, each once."""
    found = (read_fingerprint(subgraph) for _, subgraph in list_devices(graph))
    return list(dict.fromkeys(number for number in found if number is not None))
