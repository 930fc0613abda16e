"""Pass: which operation runs where, and in which subgraph.

Every operation gets a device. Operations are then grouped by stage, the number of changes of device on the longest path
to them: edges never lead to a lower stage, and within a stage only between operations of one device, so the groups can
run one after another. Borders of DPU groups get upload and download operations.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from softdpu.compiler.limits import why_not
from softdpu.compiler.lower import explain_no_form
from softdpu.compiler.op_graph import Graph, Op
from softdpu.numbers.boards import Dpu

USER, DPU, CPU = "USER", "DPU", "CPU"
_FREE = ("reshape-fix", "pad-fix", "concat-fix")  # cheap anywhere: they stay where their input is


@dataclass
class Group:
    """One subgraph below the root.

    Attributes:
        device: USER, DPU or CPU.
        ops: in topological order, constants before their readers.
        leaves: for the DPU, the super-layers: lists of operations that run as one.
    """

    device: str
    ops: list[Op]
    leaves: list[list[Op]] = field(default_factory=list)

    @property
    def main(self) -> Op:
        """The operation that the subgraph is named after."""
        return main_op(self.ops)


def main_op(ops: list[Op]) -> Op:
    """Return the first operation that computes."""
    skipped = ("const", "const-fix", "upload", "fix2float", "float2fix")
    return next((op for op in ops if op.kind not in skipped), ops[-1])


def split_graph(graph: Graph, dpu: Dpu) -> tuple[Graph, list[Group]]:
    """Return the graph with devices, uploads and downloads, and its groups in an order in which they can run."""
    graph = graph.copy()
    _assign_devices(graph, dpu)
    groups = _group(graph)
    uploaded: Counter[Op] = Counter()
    for group in groups:
        if group.device == DPU:
            _add_uploads(group, uploaded)
    _add_downloads(graph, groups)
    for group in groups:
        if group.device == DPU:
            group.leaves = _group_layers(group)
    ops = [op for group in groups for op in group.ops]
    return Graph(graph.name, ops, graph.outputs, graph.attrs), groups


def _assign_devices(graph: Graph, dpu: Dpu) -> None:
    readers = graph.consumers()
    for op in graph.ops:
        if op.kind in ("data", "data-fix"):
            op.device = USER
        elif op.is_constant or op.kind in _FREE:
            continue
        elif op.kind in ("fix2float", "float2fix"):
            op.device = CPU
        elif op.is_integer:
            op.reason = op.reason or why_not(op, dpu)
            op.device = CPU if op.reason else DPU
        else:
            op.reason = op.reason or explain_no_form(op)
            op.device = CPU
    for op in graph.ops:
        if op.kind in _FREE:
            near = [producer.device for producer in op.all_inputs()]
            after = [reader.device for reader in readers[op]]
            if op.kind == "reshape-fix" and USER not in near:
                op.device = near[0]
            else:
                op.device = DPU if DPU in (*near, *after) else CPU
    for op in graph.ops:
        if op.is_constant:
            op.device = readers[op][0].device


def _group(graph: Graph) -> list[Group]:
    stage: dict[Op, int] = {}
    for op in graph.ops:
        if not op.is_constant:
            before = [
                stage[producer] + (producer.device != op.device)
                for producer in op.all_inputs()
                if not producer.is_constant
            ]
            stage[op] = max(before, default=0)
    readers = graph.consumers()
    for op in graph.ops:
        if op.is_constant:
            stage[op] = min(stage[reader] for reader in readers[op])
    groups: dict[tuple[int, str, str], Group] = {}
    for op in graph.ops:
        own = op.name if op.device == USER else ""  # one subgraph an input
        groups.setdefault((stage[op], op.device, own), Group(op.device, [])).ops.append(op)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]


def _add_uploads(group: Group, uploaded: Counter[Op]) -> None:
    """Let a DPU group read what others make through uploads; `uploaded` counts those of each value so far."""
    inside = set(group.ops)
    uploads: dict[Op, Op] = {}
    for op in group.ops:
        for name, producers in op.inputs.items():
            for index, producer in enumerate(producers):
                if producer in inside:
                    continue
                if producer not in uploads:
                    uploads[producer] = _make_transfer(producer, "upload", uploaded[producer])
                    uploaded[producer] += 1
                op.inputs[name][index] = uploads[producer]
    group.ops[:0] = uploads.values()


def _make_transfer(producer: Op, kind: str, number: int) -> Op:
    name, tensor = f"{producer.name}_{kind}_{number}", f"{producer.tensor}_{kind}_{number}"
    op = Op(name, kind, {"input": [producer]}, {}, producer.shape, tensor, producer.fix, None, producer.layer)
    op.quant, op.device = dict(producer.quant), DPU
    return op


def _add_downloads(graph: Graph, groups: list[Group]) -> None:
    """Let every reader outside a DPU group read a download; the download's tensor keeps the value's name."""
    home = {op: group for group in groups for op in group.ops}
    downloads: dict[Op, Op] = {}
    for group in groups:
        for op in group.ops:
            for producers in op.inputs.values():
                for index, producer in enumerate(producers):
                    source = home.get(producer)
                    if source is None or source is group or source.device != DPU:
                        continue
                    if producer not in downloads:
                        downloads[producer] = _download(producer)
                    producers[index] = downloads[producer]
    for group in groups:
        group.ops.extend(download for producer, download in downloads.items() if home[producer] is group)
    graph.outputs = [downloads.get(op, op) for op in graph.outputs]


def _download(producer: Op) -> Op:
    op = _make_transfer(producer, "download", 0)
    producer.tensor, op.tensor = op.tensor, producer.tensor
    return op


def _group_layers(group: Group) -> list[list[Op]]:
    """Return the leaves of a DPU group: one an operation; pooling joins the convolution before it."""
    readers: dict[Op, list[Op]] = {}
    for op in group.ops:
        for producer in op.all_inputs():
            readers.setdefault(producer, []).append(op)
    leaf_of: dict[Op, list[Op]] = {}
    leaves: list[list[Op]] = []
    for op in group.ops:
        if op.is_constant:
            continue
        before = op.inputs["input"][0]
        joins = op.kind == "pool-fix" and before.kind == "conv2d-fix" and readers[before] == [op]
        if joins and op.attrs["type"] == "MAX":
            leaf_of[before].append(op)
            leaf_of[op] = leaf_of[before]
            continue
        constants = [producer for producer in op.all_inputs() if producer.is_constant and producer not in leaf_of]
        leaf = [*constants, op]
        leaf_of.update(dict.fromkeys(leaf, leaf))
        leaves.append(leaf)
    return leaves
