"""The compiled network of a card folder: one DPU subgraph, as a rule, or several pieces that the graph runner runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import xir
from softdpu.errors import SoftdpuError
from softdpu.numbers import dpu
from softdpu.runtime import Engine, create_engine, create_graph_engine


@dataclass(frozen=True)
class Network:
    """What an .xmodel holds.

    Attributes:
        graph: the xir.Graph; its subgraphs live no longer.
        parts: its DPU subgraphs, one or more.
        whole: whether the graph runner runs it, as the app decides too (target_src/runners.py).
    """

    graph: xir.Graph
    parts: list[xir.Subgraph]
    whole: bool

    @property
    def has_instructions(self) -> bool:
        """Whether all of it holds machine code for a real DPU."""
        return all(map(dpu.has_instructions, self.parts))

    def reference(self) -> Engine:
        """Return the reference engine of what the app runs."""
        if self.whole:
            return create_graph_engine(self.graph, "reference")
        return create_engine(self.parts[0], "reference")


def read(path: Path) -> Network:
    """Return the network in an .xmodel.

    Raises:
        SoftdpuError: if the file is missing or broken, or has no DPU subgraph.
    """
    if not path.is_file():
        raise SoftdpuError(f"no such model: {path}; compile it first")
    try:
        graph = xir.Graph.deserialize(str(path))
    except Exception as error:  # whatever xir says about a broken file
        raise SoftdpuError(f"{path} cannot be read: {error}; compile it again") from None
    return Network(graph, dpu.find_dpu_subgraphs(graph, path), dpu.is_in_pieces(graph))
