"""The front end's graphs equal those of AMD's front end for the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from h5_models import check_with_amd

import xir
from softdpu.compiler import compile_model

CASES = {
    "quant_model.h5": "quant_model.frontend.xmodel",
    "tf2_custom_op_quantized.h5": "tf2_custom_op.frontend.xmodel",
}
# Differences that are accepted, with the reason.
ACCEPTED = {
    "group": "the older file was written with the library of 2.5, which has no groups; later ones write group=1",
}


def described(graph: xir.Graph) -> dict[str, Any]:
    """Return everything that a reader of the graph can see, by operation."""
    found = {}
    for op in graph.get_ops():
        tensor = op.get_output_tensor()
        attrs = {name: value for name, value in op.get_attrs().items() if name not in ACCEPTED}
        kinds = {name: op.get_attr_kind(name) for name in attrs}
        inputs = {name: [o.get_name() for o in ops] for name, ops in op.get_input_ops().items() if ops}
        found[op.get_name()] = (op.get_type(), attrs, kinds, inputs, tensor.name, tensor.dims, tensor.dtype)
    return found


@pytest.mark.parametrize("model", CASES)
def test_graph_equals_amds(model: str, golden: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.xmodel"
    compile_model(golden / "vai_q" / model, "zcu102", output, emit="frontend")
    ours, theirs = (xir.Graph.deserialize(str(path)) for path in (output, golden / "xmodel" / CASES[model]))
    assert described(ours) == described(theirs)
    assert ours.get_name() == theirs.get_name()
    assert ours.get_attr("origin") == theirs.get_attr("origin")
    # AMD writes the absolute path of the model; ours is the bare name, so that bytes do not depend on the folder.
    assert list(ours.get_attr("files_md5sum").values()) == list(theirs.get_attr("files_md5sum").values())
    check_with_amd(output)


def test_older_graph_differs_in_group_alone(golden: Path, tmp_path: Path) -> None:
    compile_model(golden / "vai_q/tf2_custom_op_quantized.h5", "zcu102", tmp_path / "m.xmodel", emit="frontend")
    ours = xir.Graph.deserialize(str(tmp_path / "m.xmodel"))
    assert ours.get_op("quant_conv2d").get_attr("group") == 1
