"""What a compiled graph says of the DPU that it was made for: each name and number of AMD's once.

The parts of a graph are taken as they come (an xir.Graph's subgraphs, ours or AMD's); nothing is imported for them.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from softdpu.errors import SoftdpuError

# No instructions are made, so a board's runtime must refuse softdpu's files at once and by this name.
SOFTDPU_RUNNER = "libvart-softdpu-runner.so"
CPU_RUNNER = "libvart-cpu-runner.so"

DPU_TYPES = MappingProxyType(
    {
        1: "DPUCZDX8G",
        2: "DPUCAHX8H",
        3: "DPUCAHX8L",
        4: "DPUCZDI4G",
        5: "DPUCVDX8H",
        6: "DPUCVDX8G",
        7: "DPUCADF8H",
        8: "IPU_PHX",
        9: "DPUCV2DX8G",
    }
)

Value = TypeVar("Value")


def dpu_type(fingerprint: int) -> str:
    """Return the architecture that a fingerprint begins with, such as DPUCZDX8G; "unknown" for any other number."""
    return DPU_TYPES.get(fingerprint >> 56, "unknown")


def attribute(holder: Any, name: str, kind: type[Value]) -> Value | None:
    """Return attribute `name` of a graph, op, tensor or subgraph; None where there is none.

    Raises:
        SoftdpuError: it is of another type than `kind`.
    """
    if not holder.has_attr(name):
        return None
    value = holder.get_attr(name)
    if not isinstance(value, kind):
        raise SoftdpuError(f"{holder!r}: attribute '{name}' must be {kind.__name__}, got {type(value).__name__}")
    return value


def fingerprint(subgraph: Any) -> int | None:
    """Return the fingerprint of the DPU that a subgraph was compiled for, None where it has none."""
    return attribute(subgraph, "dpu_fingerprint", int)


def runner(subgraph: Any) -> str | None:
    """Return the library that runs a subgraph, None where it names none."""
    return (attribute(subgraph, "runner", dict) or {}).get("run")


def is_of_softdpu(subgraph: Any) -> bool:
    """Whether softdpu compiled a subgraph, and not AMD's compiler: any of its libraries is ours."""
    return any("softdpu" in str(library) for library in (attribute(subgraph, "runner", dict) or {}).values())


def has_instructions(subgraph: Any) -> bool:
    """Whether a subgraph holds machine code for a real DPU."""
    return bool(attribute(subgraph, "mc_code", bytes)) and not is_of_softdpu(subgraph)


def only_dpu(graph: Any, path: str | Path) -> Any:
    """Return the one DPU subgraph of a compiled graph.

    Raises:
        SoftdpuError: it has none, or several, of which the app would run the first alone.
    """
    root = graph.get_root_subgraph()
    children = [] if root.is_leaf else root.toposort_child_subgraph()
    found = [child for child in children if (attribute(child, "device", str) or "").upper() == "DPU"]
    if len(found) != 1:
        raise SoftdpuError(f"{path} has {len(found)} DPU subgraphs, the app runs exactly one; compile another network")
    return found[0]
