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


def name_type(fingerprint: int) -> str:
    """Return the architecture that a fingerprint begins with, such as DPUCZDX8G; "unknown" for any other number."""
    return DPU_TYPES.get(fingerprint >> 56, "unknown")


def read_attribute(holder: Any, name: str, kind: type[Value]) -> Value | None:
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


def read_fingerprint(subgraph: Any) -> int | None:
    """Return the fingerprint of the DPU that a subgraph was compiled for, None where it has none."""
    return read_attribute(subgraph, "dpu_fingerprint", int)


def read_runner(subgraph: Any) -> str | None:
    """Return the library that runs a subgraph, None where it names none."""
    return (read_attribute(subgraph, "runner", dict) or {}).get("run")


def is_of_softdpu(subgraph: Any) -> bool:
    """Whether softdpu compiled a subgraph, and not AMD's compiler: any of its libraries is ours."""
    return any("softdpu" in str(library) for library in (read_attribute(subgraph, "runner", dict) or {}).values())


def has_instructions(subgraph: Any) -> bool:
    """Whether a subgraph holds machine code for a real DPU."""
    return bool(read_attribute(subgraph, "mc_code", bytes)) and not is_of_softdpu(subgraph)


# operations behind a network's last layer on the DPU that leave the largest output where it is
_ENDS = ("fix2float", "softmax", "reshape", "flatten", "const", "const-fix")


def find_dpu_subgraphs(graph: Any, path: str | Path) -> list[Any]:
    """Return the DPU subgraphs of a compiled graph, in an order in which they can run.

    Raises:
        SoftdpuError: it has none.
    """
    found = _find_children(graph, "DPU")
    if not found:
        raise SoftdpuError(f"{path} has no DPU subgraphs; compile it for a board")
    return found


def is_in_pieces(graph: Any) -> bool:
    """Whether a graph needs the graph runner: it has several DPU subgraphs, or the CPU does more than end it."""
    on_cpu = (op.get_type() for child in _find_children(graph, "CPU") for op in child.get_ops())
    return len(_find_children(graph, "DPU")) > 1 or any(kind not in _ENDS for kind in on_cpu)


def _find_children(graph: Any, device: str) -> list[Any]:
    root = graph.get_root_subgraph()
    children = [] if root.is_leaf else root.toposort_child_subgraph()
    return [child for child in children if (read_attribute(child, "device", str) or "").upper() == device]
