"""What an .xmodel holds: its parts by device, their ops, positions, sizes and work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import xir
from softdpu.numbers.dpu import SOFTDPU_RUNNER, read_attribute, read_fingerprint, read_runner
from softdpu.xmodel.load import list_devices, load, read_position

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
        "origin": read_attribute(graph, "origin", str),
        "libraries": sorted(read_attribute(graph, "libs_info", dict) or {}),
        "workload": read_attribute(root, "workload", int),
        "workload_on_arch": read_attribute(root, "workload_on_arch", int),
        "subgraphs": [_describe_subgraph(device, subgraph) for device, subgraph in list_devices(graph)],
    }


def _describe_subgraph(device: str, subgraph: xir.Subgraph) -> dict[str, Any]:
    result: dict[str, Any] = {
        "name": subgraph.get_name(),
        "device": device,
        "inputs": _describe_tensors(subgraph.get_input_tensors()),
        "outputs": _describe_tensors(subgraph.get_output_tensors()),
        "workload": read_attribute(subgraph, "workload", int),
        "workload_on_arch": read_attribute(subgraph, "workload_on_arch", int),
    }
    number, name, library = read_fingerprint(subgraph), read_attribute(subgraph, "dpu_name", str), read_runner(subgraph)
    code, sizes = read_attribute(subgraph, "mc_code", bytes), read_attribute(subgraph, "reg_id_to_size", dict)
    purposes = read_attribute(subgraph, "reg_id_to_context_type_v2", dict) or {}
    if number is not None:
        result["fingerprint"] = f"{number:#x}"
    if name is not None:
        result["dpu"] = name
    if library is not None:
        result["runner"] = library
    if code is not None:
        result["instruction_bytes"] = len(code)
    if sizes is not None:
        result["registers"] = {key: {"bytes": size, "purpose": purposes.get(key)} for key, size in sizes.items()}
    return {**result, "ops": [_describe_op(op) for op in subgraph.toposort()]}


def _describe_op(op: xir.Op) -> dict[str, Any]:
    tensor = op.get_output_tensor()
    shown = {name: op.get_attr(name) for name in _SHOWN_ATTRS if op.has_attr(name)}
    attrs = {name: value for name, value in shown.items() if not isinstance(value, bytes)}
    return {
        "name": op.get_name(),
        "type": op.get_type(),
        "tensor": tensor.name,
        "shape": tensor.dims,
        "data_type": tensor.dtype,
        "position": read_position(op),
        "workload": read_attribute(op, "workload", int),
        "inputs": {name: [source.get_name() for source in ops] for name, ops in op.get_input_ops().items()},
        "attributes": attrs,
    }


def _describe_tensors(tensors: set[xir.Tensor]) -> list[dict[str, Any]]:
    return [
        {
            "name": tensor.name,
            "shape": tensor.dims,
            "data_type": tensor.dtype,
            "position": read_attribute(tensor, "fix_point", int),
            "bytes": tensor.get_data_size(),
        }
        for tensor in sorted(tensors, key=lambda tensor: tensor.name)
    ]


def show_text(found: dict[str, Any], constants: bool = False) -> Iterator[str]:
    """Yield the lines that tell people what `describe` found."""
    origin = f", from {found['origin']}" if found["origin"] else ""
    makers = sorted({library.split(" ")[0] for library in found["libraries"]})
    made = f", by {', '.join(makers)}" if makers else ""
    yield f"{found['file']}: graph '{found['name']}', {found['ops']} ops, {found['bytes']:,} bytes{origin}{made}"
    if found["workload"]:
        yield f"{found['workload']:,} operations per run, {found['workload_on_arch'] or 0:,} on the DPU's grid"
    for subgraph in found["subgraphs"]:
        yield ""
        yield from _show_subgraph(subgraph, constants)


def _show_subgraph(subgraph: dict[str, Any], constants: bool) -> Iterator[str]:
    yield f"{subgraph['device'] or 'not compiled'}: {subgraph['name']}"
    if "dpu" in subgraph or "fingerprint" in subgraph:
        yield f"    DPU {subgraph.get('dpu', '?')}, fingerprint {subgraph.get('fingerprint', 'none')}"
    if subgraph.get("runner") == SOFTDPU_RUNNER:
        yield "    no DPU instructions: it runs with softdpu on a PC; for a board compile it with toolchain: vitis-ai"
    elif "instruction_bytes" in subgraph:
        yield f"    {subgraph['instruction_bytes']:,} bytes of DPU instructions"
    for name, register in subgraph.get("registers", {}).items():
        yield f"    {name} {register['purpose'] or ''}: {register['bytes']} bytes"
    if subgraph["workload"]:
        yield f"    {subgraph['workload']:,} operations, {subgraph['workload_on_arch'] or 0:,} on the DPU's grid"
    for side in ("inputs", "outputs"):
        for tensor in subgraph[side]:
            yield f"    {side[:-1]} {_show_tensor(tensor)}"
    rows = [row for row in subgraph["ops"] if constants or not row["type"].startswith("const")]
    name_width = min(max((len(row["name"]) for row in rows), default=0), 60)
    type_width = max((len(row["type"]) for row in rows), default=0)
    for row in rows:
        yield f"      {row['name']:{name_width}}  {row['type']:{type_width}}  {_show_op(row)}".rstrip()


def _show_tensor(tensor: dict[str, Any]) -> str:
    place = "" if tensor["position"] is None else f", position {tensor['position']}"
    return f"{tensor['name']}: {tensor['data_type']} {tensor['shape']}{place}"


def _show_op(row: dict[str, Any]) -> str:
    parts = [f"{row['data_type']} {row['shape']}"]
    if row["position"] is not None:
        parts.append(f"position {row['position']}")
    for name, value in row["attributes"].items():
        if value not in ("", _DULL.get(name)) and not (name == "shape" and value == row["shape"]):
            parts.append(f"{name} {value}")
    if row["workload"]:
        parts.append(f"{row['workload']:,} operations")
    return ", ".join(parts)
