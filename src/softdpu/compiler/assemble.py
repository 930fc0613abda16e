"""The last pass: a partitioned graph becomes an xir graph with its tree of subgraphs."""

from __future__ import annotations

from typing import Any

import xir
from softdpu.compiler.memory import Memory, plan_memory
from softdpu.compiler.op_graph import Graph, Op
from softdpu.compiler.partition import CPU, DPU, Group, main_op
from softdpu.compiler.workload import compute_workload, uses_augmentation
from softdpu.compiler.xir_io import to_xir
from softdpu.numbers.boards import Target
from softdpu.numbers.dpu import CPU_RUNNER, SOFTDPU_RUNNER

_CONTEXT = {0: "CONST", 1: "DATA", 2: "DATA", 3: "DATA"}
_CONTEXT_V2 = {0: "CONST", 1: "WORKSPACE", 2: "INTERFACE", 3: "INTERFACE"}
_SEGMENT = {0: "W0", 1: "D0", 2: "D0", 3: "D0"}


def assemble(graph: Graph, groups: list[Group], target: Target) -> xir.Graph:
    """Return the xir graph of a partitioned graph, with registers, addresses and workloads."""
    work = {op: compute_workload(op, target.dpu) or (0, 0) for op in graph.ops}
    memories = {index: plan_memory(group, target) for index, group in enumerate(groups) if group.device == DPU}
    places = {op: place for memory in memories.values() for op, place in memory.places.items()}
    of_tensors = {op: {**_fix_of(op), **places.get(op, {})} for op in graph.ops}
    result = to_xir(graph, {op: _attributes(op, target) for op in graph.ops}, of_tensors)
    root = result.get_root_subgraph()
    root.create_child_subgraph()
    for index, group in enumerate(groups):
        branch = _merge(root, group.ops)
        branch.set_attr("device", group.device)
        if group.device == CPU:
            branch.set_attr("runner", dict.fromkeys(("run", "ref", "sim"), CPU_RUNNER))
        total = (0, 0)
        if group.device == DPU:
            total = _total(work, group.ops)
            _fill_dpu(branch, group, memories[index], target, work)
        _set_work(branch, total)
    _set_work(root, _total(work, [op for group in groups if group.device == DPU for op in group.ops]))
    return result


def _fix_of(op: Op) -> dict[str, Any]:
    """Return how the output is quantized, as attributes of its tensor."""
    return {**op.fix.attributes(), **op.quant} if op.is_integer and op.fix is not None else {}


def _attributes(op: Op, target: Target) -> dict[str, Any]:
    """Return what is known of an operation once it is placed: its device and, on the DPU, its work."""
    attrs: dict[str, Any] = {"device": op.device}
    if op.device == DPU:
        work = compute_workload(op, target.dpu)
        if work:
            attrs["workload"], attrs["workload_on_arch"] = work
        if uses_augmentation(op, target.dpu):
            attrs["channel_augmentation"] = 1
    return attrs


def _merge(parent: xir.Subgraph, ops: list[Op]) -> xir.Subgraph:
    """Merge the one-operation children of `ops` into one, named after its main operation."""
    children = {child for op in ops if (child := parent.find_child_subgraph_by_op_name(op.name)) is not None}
    return parent.merge_children(children).set_name("subgraph_" + main_op(ops).name)


def _fill_dpu(
    branch: xir.Subgraph,
    group: Group,
    memory: Memory,
    target: Target,
    work: dict[Op, tuple[int, int]],
) -> None:
    branch.create_child_subgraph()
    computing: list[str] = []
    for leaf in group.leaves:
        child = _merge(branch, leaf)
        _set_work(child, _total(work, leaf))
        kind = leaf[-1].kind
        if kind in ("upload", "reshape-fix"):
            child.set_attr("skip_code_gen", True)
        if kind not in ("upload", "download"):
            computing.append(child.get_name())
    names = {number: f"REG_{number}" for number in memory.sizes}
    attrs: dict[str, Any] = {
        "dpu_name": target.dpu.name,
        "dpu_fingerprint": target.fingerprint,
        "runner": dict.fromkeys(("run", "ref", "sim"), SOFTDPU_RUNNER),
        "reg_id_to_context_type": {name: _CONTEXT[number] for number, name in names.items()},
        "reg_id_to_context_type_v2": {name: _CONTEXT_V2[number] for number, name in names.items()},
        "reg_id_to_hw_segment": {name: _SEGMENT[number] for number, name in names.items()},
        "reg_id_to_size": {name: memory.sizes[number] for number, name in names.items()},
        "reg_id_to_parameter_value": {"REG_0": memory.parameters} if memory.parameters else {},
        "children_topological_sort": xir.Attr("string_vec", computing),
    }
    for name, value in attrs.items():
        branch.set_attr(name, value)


def _total(work: dict[Op, tuple[int, int]], ops: list[Op]) -> tuple[int, int]:
    return sum(work[op][0] for op in ops), sum(work[op][1] for op in ops)


def _set_work(subgraph: xir.Subgraph, work: tuple[int, int]) -> None:
    subgraph.set_attr("workload", work[0])
    subgraph.set_attr("workload_on_arch", work[1])
