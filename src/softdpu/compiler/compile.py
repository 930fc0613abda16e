"""The compiler: a quantized Keras model in, an .xmodel out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xir
from softdpu.compiler.assemble import assemble
from softdpu.compiler.borders import insert_borders, spell_out_padded_average, spell_out_prelu
from softdpu.compiler.cleanup import fold_pads, fuse_hard_sigmoid, sink_reshapes
from softdpu.compiler.constants import fold_parameters
from softdpu.compiler.frontend import build_graph
from softdpu.compiler.keras_h5 import read_keras_model, report_damage
from softdpu.compiler.keras_model import KerasModel
from softdpu.compiler.lower import lower
from softdpu.compiler.names import give_names
from softdpu.compiler.op_graph import Graph, Op
from softdpu.compiler.partition import DPU, Group, split_graph
from softdpu.compiler.placement import Place, list_places
from softdpu.compiler.rules.moves import join_blocks
from softdpu.compiler.workload import compute_workload
from softdpu.compiler.xir_io import to_xir
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.numbers.boards import Dpu, Target
from softdpu.output import files

EMITS = ("compiled", "frontend")

# From the front end's graph to integer operations, one step at a time.
PASSES: tuple[tuple[str, Callable[[Graph, Dpu], Graph]], ...] = (
    ("constant and fix become one int8 constant", lambda graph, dpu: fold_parameters(graph)),
    ("float chains between fixes become integer operations", lower),
    ("zero padding joins the convolution behind it", lambda graph, dpu: fold_pads(graph)),
    ("reshapes move behind what works on single values", lambda graph, dpu: sink_reshapes(graph)),
    ("hard sigmoid joins the convolution before it", fuse_hard_sigmoid),
    (
        "reshapes around a transpose that move blocks become one operation",
        lambda graph, dpu: join_blocks(graph),
    ),
    ("PReLU that the DPU has not becomes plain arithmetic", lambda graph, dpu: spell_out_prelu(graph)),
    ("average pooling with padding becomes exact sums", lambda graph, dpu: spell_out_padded_average(graph)),
    ("conversions between integer and float", lambda graph, dpu: insert_borders(graph)),
)


@dataclass(frozen=True)
class Compiled:
    """A compiled model before it is written.

    Attributes:
        model: what was compiled.
        front: the front end's graph of it.
        graph: operations in topological order, with devices.
        groups: the subgraphs below the root, in running order.
        target: what it was compiled for.
    """

    model: KerasModel
    front: Graph
    graph: Graph
    groups: list[Group]
    target: Target

    def to_xir(self) -> xir.Graph:
        """Return the xir graph."""
        return assemble(self.graph, self.groups, self.target)

    def places(self) -> list[Place]:
        """Return where each layer runs, and why."""
        return list_places(self.model, self.front, self.graph)


def compile_keras(model: KerasModel, target: Target) -> Compiled:
    """Compile a quantized Keras model that has been read."""
    graph = front = build_graph(model)
    for _, step in PASSES:
        graph = step(graph, target.dpu)
    graph = give_names(graph, target.vitis_ai)
    graph, groups = split_graph(graph, target.dpu)
    return Compiled(model, front, graph, groups, target)


def compile_model(
    model: str | Path,
    target: str | Target,
    output: str | Path,
    *,
    emit: str = "compiled",
    vitis_ai: str | None = None,
) -> dict[str, Any]:
    """Compile the quantized Keras model at `model` for `target`, write the .xmodel to `output`, return a summary.

    Args:
        model: HDF5 of softdpu's or AMD's quantizer.
        target: name of a board, or a Target (from a fingerprint or an arch.json).
        output: written whole or not at all; equal models and targets give equal bytes.
        emit: "compiled", or "frontend" for the graph before compilation.
        vitis_ai: version to compile for, such as "3.0"; None takes the board's usual one.

    Returns:
        What `summarize` returns.

    Raises:
        SoftdpuError: unknown target, unreadable or unquantized model, nothing in it that the DPU can run.
    """
    if emit not in EMITS:
        raise SoftdpuError(f"expected emit to be one of {', '.join(EMITS)}, got '{emit}'")
    chosen = boards.find_target(target, vitis_ai) if isinstance(target, str) else target
    keras = read_keras_model(model)
    if emit == "frontend":
        with report_damage(model):
            front = build_graph(keras)
        _write(to_xir(front), output)
        return {"model": keras.path.name, "emit": emit, "ops": len(front.ops)}
    with report_damage(model):
        compiled = compile_keras(keras, chosen)
    if not any(group.device == DPU for group in compiled.groups):
        reasons = "; ".join(f"{place.layer}: {place.reason}" for place in compiled.places() if place.reason)
        raise SoftdpuError(f"{model}: no layer can run on the DPU of {chosen.name}: {reasons[:400]}")
    _write(compiled.to_xir(), output)
    return summarize(compiled)


def _write(graph: xir.Graph, output: str | Path) -> None:
    try:
        files.write_bytes(output, graph.serialize_to_string())
    except xir.XirError as error:
        raise SoftdpuError(f"{output}: {error}") from error


def summarize(compiled: Compiled) -> dict[str, Any]:
    """Return what was made: target, subgraphs, inputs and outputs with positions, and where each layer runs and why."""
    graph, target = compiled.graph, compiled.target
    on_dpu = [op for op in graph.ops if op.device == DPU]
    work = [compute_workload(op, target.dpu) or (0, 0) for op in on_dpu]
    return {
        "model": compiled.model.path.name,
        "emit": "compiled",
        "target": target.name,
        "vitis_ai": target.vitis_ai,
        "dpu": target.dpu.name,
        "fingerprint": f"{target.fingerprint:#x}",
        "batch": target.batch,
        "ops": len(graph.ops),
        "ops_on_dpu": len(on_dpu),
        "subgraphs": [
            {"name": f"subgraph_{group.main.name}", "device": group.device, "ops": len(group.ops)}
            for group in compiled.groups
        ],
        "workload": sum(plain for plain, _ in work),
        "workload_on_arch": sum(on_arch for _, on_arch in work),
        "parameter_bytes": sum(op.data.nbytes for op in on_dpu if op.data is not None),
        "inputs": [_describe_tensor(op) for op in graph.ops if op.kind in ("data", "data-fix")],
        "outputs": [_describe_tensor(op.input if op.kind == "fix2float" else op) for op in graph.outputs],
        "layers": [place.as_dict() for place in compiled.places()],
    }


def _describe_tensor(op: Op) -> dict[str, Any]:
    position = op.fix.position if op.fix else None
    return {"name": op.tensor, "shape": list(op.shape), "position": position}
