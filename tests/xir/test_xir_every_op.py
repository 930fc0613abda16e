"""One op of every type, in one graph, as AMD's library reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import xir
from xir import op_defs

TYPES = sorted(op_defs.op_defs())
MANY = {
    "add",
    "sub",
    "mul",
    "div",
    "min",
    "max",
    "concat",
    "concat-fix",
    "matmul",
    "eltwise-fix",
    "depthwise-fix",
    "stack",
}
VALUES = {
    "bool": True,
    "bytes": bytes(4 * 128),
    "float": 0.5,
    "float_vec": [2.0, 2.0],
    "string": "MAX",
    "axis": -1,
    "begin": [0, 0, 0, 0],
    "bit_width": 8,
    "data_type": "float32",
    "end": [1, 4, 4, 8],
    "end_axis": 3,
    "fix_point": 3,
    "maxdisp": 8,
    "mode": "NEAREST",
    "num_channels": 8,
    "num_groups": 2,
    "order": [0, 3, 1, 2],
    "pad_mode": "FLOOR",
    "pad_size": 1,
    "paddings": [0] * 8,
    "round_mode": "DPU_ROUND",
    "scale": 2,
    "start_axis": 1,
    "stride": 2,
    "strides": [1, 1, 1, 1],
    "transpose_a": False,
}
EXTRA = {
    "batchnorm": {"axis": 3},
    "inner-product": {"axis": 1},
    "reshape": {"shape": [1, 128]},
    "reshape-fix": {"shape": [1, 128]},
    "resize": {"scale": [2.0, 2.0]},
    "stack": {"axis": 1},
}
# What AMD's library 2.5 cannot read, whoever writes it.
BEYOND_2_5 = {
    "conv1d": "came after 2.5 with an argument 'weights'",
    "prelu": "came after 2.5 with an argument 'weight'",
    "groupnorm": "came after 2.5 with arguments 'weight' and 'bias'",
    "instancenorm": "came after 2.5 with arguments 'weight' and 'bias'",
    "pixel-shuffle-fix": "its definition has 'reverse', its shape rule looks for 'upscale'",
    "stack": "its shape rule wants constants",
}


def add(graph: xir.Graph, kind: str) -> xir.Op:
    """Add one op of a type with sources of its own."""
    definition = op_defs.op_def(kind)
    spatial = 3 if "conv3d" in kind else 1 if kind in ("conv1d", "maxpool1d") else 2
    image = [1, *[4] * spatial, 8]
    fixed = kind.endswith("-fix") or kind in ("download", "fix2float", "identity", "threshold")
    source, data_type = ("data-fix", "xint8") if fixed else ("data", "float32")

    def make(name: str, shape: list[int]) -> xir.Op:
        return graph.create_op(f"{kind}.{name}", source, {"shape": shape, "data_type": data_type})

    inputs: dict[str, list[xir.Op]] = {}
    for name, occurrence in definition.args.items():
        if name == "input":
            inputs[name] = [make(f"input{index}", image) for index in range(2 if kind in MANY else 1)]
        elif name == "weights":
            kernel = [8, 128] if kind == "inner-product" else [1 if "depthwise" in kind else 8, *[1] * spatial, 8]
            inputs[name] = [make(name, kernel)]
        elif occurrence == op_defs.REQUIRED or name == "bias":
            inputs[name] = [make(name, [4] if kind == "matmul" else [8])]
    attrs = {}
    for name in definition.required:
        wanted = definition.kinds[name]
        attrs[name] = VALUES[wanted] if wanted in ("bool", "bytes", "float", "float_vec") else VALUES.get(name, "MAX")
        if wanted == "int32_vec" and name in ("axis", "kernel", "shape", "stride"):
            attrs[name] = {"axis": [1], "shape": image}.get(name, [1] * spatial)
    return graph.create_op(kind, kind, {**attrs, "transpose_a": False, **EXTRA.get(kind, {})}, inputs)


@pytest.mark.parametrize("kind", TYPES)
def test_every_op_type_is_built_and_comes_back(kind: str) -> None:
    graph = xir.Graph("g")
    op = add(graph, kind)
    back = xir.Graph.deserialize_from_string(graph.serialize_to_string()).get_op(kind)
    assert back.get_attrs() == op.get_attrs() and back.get_output_tensor().dims == op.get_output_tensor().dims
    assert {name: len(ops) for name, ops in back.get_input_ops().items()} == {
        name: len(ops) for name, ops in op.get_input_ops().items()
    }


@pytest.mark.skipif(shutil.which("xir") is None, reason="AMD's xir command (Debian: libxir-utils) is not installed")
def test_amds_library_reads_every_op_type(tmp_path: Path) -> None:
    graph = xir.Graph("every op")
    for kind in TYPES:
        if kind not in BEYOND_2_5:
            add(graph, kind)
    graph.serialize(tmp_path / "every.xmodel")
    done = subprocess.run(
        ["xir", "subgraph", str(tmp_path / "every.xmodel")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if line.startswith("F"))
