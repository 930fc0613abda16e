"""Names that applications look tensors up by are those of AMD's compiler of the same version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from h5_models import H5Model

import xir
from softdpu.compiler import compile_model
from softdpu.runtime.engine import evaluate_graph


def names(path: Path) -> list[tuple[str, ...]]:
    """Return subgraph, operation and tensor of everything in a file, sorted."""
    root = xir.Graph.deserialize(str(path)).get_root_subgraph()
    return sorted(
        (child.get_name(), op.get_type(), op.get_name(), op.get_output_tensor().name)
        for child in root.toposort_child_subgraph()
        for op in child.get_ops()
    )


@pytest.mark.parametrize(
    ("board", "version"),
    [("zcu102", "2.0"), ("zcu102", "2.5"), ("zcu102", "3.0"), ("vck190", "3.0"), ("vek280", "3.5")],
)
def test_every_name_is_amds(board: str, version: str, golden: Path, tmp_path: Path) -> None:
    compile_model(golden / "vai_q/tf2_custom_op_quantized.h5", board, tmp_path / "m.xmodel", vitis_ai=version)
    assert names(tmp_path / "m.xmodel") == names(golden / f"xmodel/tf2_custom_op.{board}.v{version}.xmodel")


def dense(model: H5Model, source: str, sizes: tuple[int, int], name: str) -> str:
    return model.conv(source, sizes, kind="Dense", name=name)


def in_two_parts(path: Path) -> Path:
    """An autoencoder: two Dense read the image, a layer of the CPU their results, one more Dense that layer's."""
    model = H5Model()
    image = model.conv(model.input((8, 8, 1)), (1, 4), name="conv", strides=[4, 4], padding="same")
    flat = model.bare("Flatten", "flatten", [image], {"data_format": "channels_last"})
    mean, deviation = dense(model, flat, (16, 3), "dense"), dense(model, flat, (16, 3), "dense_1")
    model.bare("Average", "sampling", [mean, deviation])
    return model.write(path, [dense(model, model.quantize("sampling", 5), (3, 6), "dense_2")])


def dpu_tensors(path: Path) -> list[tuple[list[str], list[str]]]:
    """Return the names of what each DPU subgraph reads and makes, as a runner gives them."""
    root = xir.Graph.deserialize(str(path)).get_root_subgraph()
    return [
        tuple(
            sorted(tensor.name for tensor in tensors)
            for tensors in (child.get_input_tensors(), child.get_output_tensors())
        )
        for child in root.toposort_child_subgraph()
        if child.get_attr("device") == "DPU"
    ]


# 1.4: from AMD's app for its variational autoencoder. 2.0 and later: from the numbers in AMD's log of a network of
# two Dense with a sigmoid between, where the second reads ..._inserted_fix_3.
@pytest.mark.parametrize(("version", "number"), [("1.4", 7), ("2.0", 5), ("3.0", 5)])
def test_an_input_that_is_no_image(version: str, number: int, tmp_path: Path) -> None:
    compile_model(in_two_parts(tmp_path / "m.h5"), "zcu102", tmp_path / "m.xmodel", vitis_ai=version)
    encoder, decoder = dpu_tensors(tmp_path / "m.xmodel")
    assert encoder == (["quant_input_1"], ["quant_dense_1_fix", "quant_dense_fix"])
    assert decoder == ([f"quant_sampling_reshaped_inserted_fix_{number}"], ["quant_dense_2_fix"])
    operations = [op for _, _, op, _ in names(tmp_path / "m.xmodel")]
    assert f"quant_dense_2(TransferMatMulToConv2d)_inserted_fix_{number + 1}_reshaped_download_0" in operations
    assert "quant_dense_2_fix_" in operations


def test_two_dense_of_one_vector(tmp_path: Path) -> None:
    """Two reshapes of one value have two names, and the runtime computes both results."""
    model = H5Model()
    vector = model.input((3,))
    both = [dense(model, vector, (3, 2), "a"), dense(model, vector, (3, 2), "b")]
    compile_model(model.write(tmp_path / "m.h5", both), "zcu102", tmp_path / "m.xmodel")
    reshapes = {op for _, kind, op, _ in names(tmp_path / "m.xmodel") if kind == "reshape-fix"}
    assert {"quant_input_1_reshaped", "quant_input_1_reshaped_1"} < reshapes and len(reshapes) == 4
    results = evaluate_graph(xir.Graph.deserialize(str(tmp_path / "m.xmodel")), np.ones((1, 3), np.int8))
    assert len(results) == 2
