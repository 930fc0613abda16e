"""What an .xmodel holds: its parts by device, their ops, positions, sizes and work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import xir
from softdpu.xmodel.load import devices, fingerprint, load, position

_SHOWN_ATTRS = (
    "kernel",
    "stride",
    "pad",
    "dilation",
    "nonlinear",
    "type",
    "axis",
    "shape",
    "paddings",
    "scale",
    "order",
)
_DULL = {"pad": [0, 0, 0, 0], "dilation": [1, 1], "nonlinear": "NONE", "stride": [1, 1]}
_SOFTDPU_RUNNER = "libvart-softdpu-runner.so"


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what the .xmodel at `path` holds, as values for JSON.

    Raises:
        SoftdpuError: no such file, or it holds no graph.
    """
    graph = load(path)
    root = graph.get_root_subgraph()
    return {
        "file": os.fspath(path),
        "bytes": os.path.getsize(path),
        "name": graph.get_name(),
        "ops": graph.get_op_num(),
        "origin": graph.get_attr("origin") if graph.has_attr("origin") else None,
        "libraries": sorted(graph.get_attr("libs_info")) if graph.has_attr("libs_info") else [],
        "workload": _optional(root, "workload"),
        "workload_on_arch": _optional(root, "workload_on_arch"),
        "subgraphs": [_subgraph(device, subgraph) for device, subgraph in devices(graph)],
    }


def _subgraph(device: str, subgraph: xir.Subgraph) -> dict[str, Any]:
    ops = subgraph.toposort()
    result: dict[str, Any] = {
        "name": subgraph.get_name(),
        "device": device,
        "inputs": _tensors(subgraph.get_input_tensors()),
        "outputs": _tensors(subgraph.get_output_tensors()),
        "workload": _optional(subgraph, "workload"),
        "workload_on_arch": _optional(subgraph, "workload_on_arch"),
    }
    number = fingerprint(subgraph)
    if number is not None:
        result["fingerprint"] = f"{number:#x}"
    if subgraph.has_attr("dpu_name"):
        result["dpu"] = subgraph.get_attr("dpu_name")
    if subgraph.has_attr("runner"):
        result["runner"] = subgraph.get_attr("runner").get("run")
    if subgraph.has_attr("mc_code"):
        result["instruction_bytes"] = len(subgraph.get_attr("mc_code"))
    if subgraph.has_attr("reg_id_to_size"):
        purposes = "reg_id_to_context_type_v2" if subgraph.has_attr("reg_id_to_context_type_v2") else None
        purpose = subgraph.get_attr(purposes) if purposes else {}
        sizes = subgraph.get_attr("reg_id_to_size")
        result["registers"] = {name: {"bytes": size, "purpose": purpose.get(name)} for name, size in sizes.items()}
    return {**result, "ops": [_op(op) for op in ops]}


def _op(op: xir.Op) -> dict[str, Any]:
    tensor = op.get_output_tensor()
    attrs = {name: op.get_attr(name) for name in _SHOWN_ATTRS if op.has_attr(name)}
    return {
        "name": op.get_name(),
        "type": op.get_type(),
        "tensor": tensor.name,
        "shape": tensor.dims,
        "data_type": tensor.dtype,
        "position": position(op),
        "workload": _optional(op, "workload"),
        "inputs": {name: [source.get_name() for source in ops] for name, ops in op.get_input_ops().items()},
        "attributes": attrs,
    }


def _tensors(tensors: set[xir.Tensor]) -> list[dict[str, Any]]:
    return [
        {
            "name": tensor.name,
            "shape": tensor.dims,
            "data_type": tensor.dtype,
            "position": tensor.get_attr("fix_point") if tensor.has_attr("fix_point") else None,
            "bytes": tensor.get_data_size(),
        }
        for tensor in sorted(tensors, key=lambda tensor: tensor.name)
    ]


def _optional(holder: xir.Op | xir.Subgraph, name: str) -> int | None:
    return int(holder.get_attr(name)) if holder.has_attr(name) else None


def text(found: dict[str, Any], constants: bool = False) -> Iterator[str]:
    """Yield the lines that tell people what `describe` found."""
    origin = f", from {found['origin']}" if found["origin"] else ""
    makers = sorted({library.split(" ")[0] for library in found["libraries"]})
    made = f", by {', '.join(makers)}" if makers else ""
    yield f"{found['file']}: graph '{found['name']}', {found['ops']} ops, {found['bytes']:,} bytes{origin}{made}"
    if found["workload"]:
        yield f"{found['workload']:,} operations a run, {found['workload_on_arch'] or 0:,} on the DPU's grid"
    for subgraph in found["subgraphs"]:
        yield ""
        yield from _subgraph_text(subgraph, constants)


def _subgraph_text(subgraph: dict[str, Any], constants: bool) -> Iterator[str]:
    yield f"{subgraph['device'] or 'not compiled'}: {subgraph['name']}"
    if "dpu" in subgraph or "fingerprint" in subgraph:
        yield f"    DPU {subgraph.get('dpu', '?')}, fingerprint {subgraph.get('fingerprint', 'none')}"
    if subgraph.get("runner") == _SOFTDPU_RUNNER:
        yield "    no DPU instructions: it runs with softdpu on a PC; for a board compile it with toolchain: vitis-ai"
    elif "instruction_bytes" in subgraph:
        yield f"    {subgraph['instruction_bytes']:,} bytes of DPU instructions"
    for name, register in subgraph.get("registers", {}).items():
        yield f"    {name} {register['purpose'] or ''}: {register['bytes']:,} bytes"
    if subgraph["workload"]:
        yield f"    {subgraph['workload']:,} operations, {subgraph['workload_on_arch'] or 0:,} on the DPU's grid"
    for side in ("inputs", "outputs"):
        for tensor in subgraph[side]:
            yield f"    {side[:-1]} {_tensor_text(tensor)}"
    rows = [row for row in subgraph["ops"] if constants or not row["type"].startswith("const")]
    name_width = min(max((len(row["name"]) for row in rows), default=0), 60)
    type_width = max((len(row["type"]) for row in rows), default=0)
    for row in rows:
        yield f"      {row['name']:{name_width}}  {row['type']:{type_width}}  {_op_text(row)}".rstrip()


def _tensor_text(tensor: dict[str, Any]) -> str:
    place = "" if tensor["position"] is None else f", position {tensor['position']}"
    return f"{tensor['name']}: {tensor['data_type']} {tensor['shape']}{place}"


def _op_text(row: dict[str, Any]) -> str:
    parts = [f"{row['data_type']} {row['shape']}"]
    if row["position"] is not None:
        parts.append(f"position {row['position']}")
    for name, value in row["attributes"].items():
        if value not in ("", _DULL.get(name)) and not (name == "shape" and value == row["shape"]):
            parts.append(f"{name} {value}")
    if row["workload"]:
        parts.append(f"{row['workload']:,} operations")
    return ", ".join(parts)
