"""Opening .xmodel files, and small questions about what is in them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import xir
from softdpu.errors import SoftdpuError


def load(path: str | os.PathLike[str]) -> xir.Graph:
    """Return the graph in the .xmodel file at `path`.

    Raises:
        SoftdpuError: no such file, or it holds no graph.
    """
    try:
        return xir.Graph.deserialize(path)
    except xir.XirError as error:
        raise SoftdpuError(str(error)) from None


def devices(graph: xir.Graph) -> list[tuple[str, xir.Subgraph]]:
    """Return (device, subgraph) for each part of a compiled graph in order; one ("", root) when it is not compiled."""
    found = list(_devices(graph.get_root_subgraph()))
    return found or [("", graph.get_root_subgraph())]


def _devices(subgraph: xir.Subgraph) -> Iterator[tuple[str, xir.Subgraph]]:
    for child in subgraph.toposort_child_subgraph():
        if child.has_attr("device"):
            yield str(child.get_attr("device")), child
        else:
            yield from _devices(child)


def position(op: xir.Op) -> int | None:
    """Return the position of an op's output, None for one that has none."""
    tensor = op.get_output_tensor()
    holder = tensor if tensor.has_attr("fix_point") else op
    return int(holder.get_attr("fix_point")) if holder.has_attr("fix_point") else None


def fingerprint(subgraph: xir.Subgraph) -> int | None:
    """Return the fingerprint of the DPU that a subgraph was compiled for, None where it tells none."""
    return int(subgraph.get_attr("dpu_fingerprint")) if subgraph.has_attr("dpu_fingerprint") else None


def fingerprints(graph: xir.Graph) -> list[int]:
    """Return the fingerprints of all DPU subgraphs, each once."""
    found = (fingerprint(subgraph) for _, subgraph in devices(graph))
    return list(dict.fromkeys(number for number in found if number is not None))
