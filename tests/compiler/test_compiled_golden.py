"""Our compiled file of AMD's own example agrees with the files of AMD's compiler."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h5_models import check_with_amd

import xir
from softdpu.compiler import compile_model
from softdpu.numbers import fixed_point
from softdpu.runtime.engine import evaluate_graph

ZCU102 = ["2.0", "2.5", "3.0"]
_MEANING = ("kernel", "stride", "dilation", "pad", "nonlinear", "hsigmoid_in", "shift_hsigmoid", "type", "shape")
# All images for one board and a few for the others, which compute the same.
FEW = {"zcu102": slice(None), "vck190": slice(4), "vek280": slice(4), "u50": slice(4)}
_WORK = ("workload", "workload_on_arch")


def plain(name: str) -> str:
    """Return a tensor's name without what marks it as copied across a border."""
    return re.sub(r"_(up|down)load_0$", "", name)


def operations(graph: xir.Graph) -> dict[tuple[str, str], Any]:
    """Return by kind and tensor what each operation means: shape, position, attributes, work, device."""
    found = {}
    for op in graph.get_ops():
        tensor = op.get_output_tensor()
        position = tensor.get_attr("fix_point") if tensor.has_attr("fix_point") else None
        keys = [key for key in (*_MEANING, *_WORK, "device") if op.has_attr(key)]
        if op.get_type() not in ("data-fix", "const-fix", "const", "Mylayer", "reshape-fix"):
            keys = [key for key in keys if key != "shape"]  # 2.0 leaves it on other operations too
        attrs = {key: op.get_attr(key) for key in keys}
        inputs = {
            name: sorted(plain(o.get_output_tensor().name) for o in ops) for name, ops in op.get_input_ops().items()
        }
        found[op.get_type(), plain(tensor.name)] = tensor.dims, tensor.dtype, position, attrs, inputs
    return found


def tree(subgraph: xir.Subgraph) -> Any:
    """Return devices, kinds of operation, work and registers of a subgraph and those below it, in running order."""
    keys = ("device", "workload", "workload_on_arch", "skip_code_gen", "reg_id_to_size", "reg_id_to_context_type_v2")
    attrs = {key: subgraph.get_attr(key) for key in keys if subgraph.has_attr(key)}
    if subgraph.is_leaf:
        return attrs, sorted(op.get_type() for op in subgraph.get_ops())
    return attrs, [tree(child) for child in subgraph.toposort_child_subgraph()]


def parameters(graph: xir.Graph) -> list[bytes]:
    children = graph.get_root_subgraph().toposort_child_subgraph()
    dpus = [child for child in children if child.has_attr("reg_id_to_parameter_value")]
    return [child.get_attr("reg_id_to_parameter_value")["REG_0"] for child in dpus]


def both(golden: Path, tmp_path: Path, board: str, version: str) -> tuple[xir.Graph, xir.Graph]:
    output = tmp_path / "m.xmodel"
    compile_model(golden / "vai_q/tf2_custom_op_quantized.h5", board, output, vitis_ai=version)
    check_with_amd(output)
    theirs = golden / f"xmodel/tf2_custom_op.{board}.v{version}.xmodel"
    return xir.Graph.deserialize(str(output)), xir.Graph.deserialize(str(theirs))


@pytest.mark.parametrize("version", ZCU102)
def test_zcu102_agrees(version: str, golden: Path, tmp_path: Path) -> None:
    ours, theirs = both(golden, tmp_path, "zcu102", version)
    assert operations(ours) == operations(theirs)
    assert tree(ours.get_root_subgraph()) == tree(theirs.get_root_subgraph())
    assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize(("board", "version"), [("vck190", "3.0"), ("vek280", "3.5")])
def test_versal_agrees_but_for_the_hardware_order_of_weights(
    board: str, version: str, golden: Path, tmp_path: Path
) -> None:
    ours, theirs = both(golden, tmp_path, board, version)
    assert operations(ours) == operations(theirs)
    work = [(graph.get_root_subgraph().get_attr(key)) for graph in (ours, theirs) for key in _WORK]
    assert work[:2] == work[2:]


@pytest.mark.parametrize("version", ZCU102)
def test_dpu_subgraphs_name_dpu_and_our_runner(version: str, golden: Path, tmp_path: Path) -> None:
    ours, theirs = both(golden, tmp_path, "zcu102", version)
    pairs = zip(*(graph.get_root_subgraph().toposort_child_subgraph() for graph in (ours, theirs)), strict=True)
    for mine, amds in pairs:
        if amds.get_attr("device") != "DPU":
            continue
        for key in ("dpu_name", "dpu_fingerprint"):
            assert mine.get_attr(key) == amds.get_attr(key)
            assert mine.get_attr_kind(key) == amds.get_attr_kind(key)
        assert set(mine.get_attr("runner").values()) == {"libvart-softdpu-runner.so"}
        assert not mine.has_attr("mc_code")
        assert len(mine.get_attr("children_topological_sort")) == len(amds.get_attr("children_topological_sort"))


def outputs_of(golden: Path, model: str, images: np.ndarray, tmp_path: Path, board: str) -> np.ndarray:
    compile_model(golden / "vai_q" / model, board, tmp_path / "m.xmodel")
    check_with_amd(tmp_path / "m.xmodel")
    graph = xir.Graph.deserialize(str(tmp_path / "m.xmodel"))
    head = next(op for op in graph.get_ops() if op.get_type() == "data-fix").get_output_tensor()
    codes = fixed_point.quantize(images, head.get_attr("fix_point"), fixed_point.HALF_UP)
    (result,) = evaluate_graph(graph, codes).values()
    return result


@pytest.mark.parametrize("board", ["zcu102", "vck190", "vek280"])
def test_mobilenet_equals_amds_keras_model_bit_for_bit(board: str, golden: Path, tmp_path: Path) -> None:
    data = np.load(golden / "vai_q/eval.npz")
    images, expected = data["images"][FEW[board]], data["quant_out"][FEW[board]]
    result = outputs_of(golden, "quant_model.h5", images, tmp_path, board)
    np.testing.assert_array_equal(result.reshape(expected.shape), expected)


def test_deployed_model_equals_amds_keras_model(golden: Path, tmp_path: Path) -> None:
    data = np.load(golden / "vai_q/eval.npz")
    result = outputs_of(golden, "deploy_model.h5", data["images"], tmp_path, "zcu102")
    np.testing.assert_array_equal(result.reshape(data["deploy_out"].shape), data["deploy_out"])


@pytest.mark.parametrize("board", ["zcu102", "vck190", "vek280", "u50"])
def test_network_of_nearly_every_layer_equals_amds_up_to_the_softmax(board: str, golden: Path, tmp_path: Path) -> None:
    data = np.load(golden / "vai_q/misc_eval.npz")
    images, expected = data["images"][FEW[board]], data["quant_out"][FEW[board]]
    result = outputs_of(golden, "misc_quant.h5", images, tmp_path, board)
    # The last layer is a float softmax, which libraries round differently in the last binary digit.
    np.testing.assert_allclose(result, expected, rtol=3e-7, atol=0)
