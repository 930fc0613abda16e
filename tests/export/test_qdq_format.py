"""The form of the ONNX files: what NPU compilers and viewers ask for, beyond the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from softdpu.errors import SoftdpuError
from softdpu.export.qdq import build_qdq, serialize
from softdpu.export.source import Source
from softdpu.export.write import Export, Options

# What a missing attribute of would leave to a default, which AMD's execution provider does not know.
EXPLICIT = {
    "Conv": {"auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"},
    "MaxPool": {"auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"},
    "AveragePool": {"auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"},
    "Concat": {"axis"},
    "Transpose": {"perm"},
    "LeakyRelu": {"alpha"},
}


def constants(proto: Any) -> dict[str, np.ndarray]:
    return {entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer}


def biases(proto: Any) -> list[np.ndarray]:
    makers = {name: node for node in proto.graph.node for name in node.output}
    found = constants(proto)
    return [found[makers[n.input[2]].input[0]] for n in proto.graph.node if n.op_type == "Conv" and len(n.input) == 3]


@pytest.mark.parametrize("flavour", ["xint8", "vint8"])
@pytest.mark.parametrize("int8_bias", [True, False])
def test_scales_are_powers_of_two_and_attributes_are_spelt_out(source: Source, flavour: str, int8_bias: bool) -> None:
    proto = build_qdq(source, flavour, tie_free=not int8_bias).proto
    found = constants(proto)
    kinds = set()
    for node in proto.graph.node:
        kinds.add(node.op_type)
        attributes = {attribute.name for attribute in node.attribute}
        assert attributes >= EXPLICIT.get(node.op_type, set()), node.name
        if node.op_type.endswith("Linear"):
            scale, zero = found[node.input[1]], found[node.input[2]]
            assert scale.shape == () and np.frexp(scale)[0] == 0.5
            assert zero == 0 and zero.dtype in (np.int8, np.int32)
    assert {"Conv", "MaxPool", "Concat", "LeakyRelu", "HardSigmoid", "Add"} <= kinds
    assert {array.dtype for array in biases(proto)} <= (
        {np.dtype(np.int8)} if int8_bias else {np.dtype(np.int8), np.dtype(np.int32)}
    )
    assert int8_bias or any(array.dtype == np.int32 and (array % 2 == 1).all() for array in biases(proto))


def test_flavours_differ_as_quark_s_do(source: Source) -> None:
    xint8, vint8 = build_qdq(source, "xint8").proto, build_qdq(source, "vint8").proto
    readers: dict[str, int] = {}
    for node in vint8.graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    pairs = [node.output[0] for node in vint8.graph.node if node.op_type == "DequantizeLinear"]
    assert all(readers.get(name, 1) == 1 for name in pairs), "a pair of vint8 has several readers"
    before = {name: node.op_type for node in vint8.graph.node for name in node.output}
    assert {before[n.input[0]] for n in vint8.graph.node if n.op_type in ("Relu", "Clip")} == {"DequantizeLinear"}
    before = {name: node.op_type for node in xint8.graph.node for name in node.output}
    assert {before[n.input[0]] for n in xint8.graph.node if n.op_type == "Clip"} == {"Conv"}


def test_names_of_the_dpu_s_ops_are_kept(source: Source) -> None:
    names = {node.name for node in build_qdq(source, "xint8").proto.graph.node}
    kept = {
        n.key
        for n in source.program.nodes
        if n.kind in ("conv2d-fix", "depthwise-conv2d-fix", "eltwise-fix", "pool-fix")
    }
    assert kept and kept <= names


@pytest.mark.parametrize("opset", [13, 14, 17, 18, 19, 21])
def test_every_opset_passes_the_full_check(source: Source, opset: int) -> None:
    proto = build_qdq(source, "xint8", opset=opset).proto
    assert [entry.version for entry in proto.opset_import] == [opset]
    onnx.checker.check_model(proto, full_check=True)


@pytest.mark.parametrize("opset", [12, 22, 0])
def test_an_opset_out_of_range_is_refused(source: Source, opset: int) -> None:
    with pytest.raises(SoftdpuError, match=f"expected an opset from 13 to 21, got {opset}"):
        build_qdq(source, "xint8", opset=opset)


def dims(entry: Any) -> list[Any]:
    return [size.dim_param or size.dim_value for size in entry.type.tensor_type.shape.dim]


def test_batch_and_layout(source: Source) -> None:
    free = build_qdq(source, "xint8").proto.graph
    assert dims(free.input[0]) == ["N", 14, 14, 3] and dims(free.output[0]) == ["N", 5]
    fixed = build_qdq(source, "xint8", batch=4, layout="nchw").proto.graph
    assert dims(fixed.input[0]) == [4, 3, 14, 14] and dims(fixed.output[0]) == [4, 5]
    assert next(node.op_type for node in fixed.node) != "Transpose"


def test_metadata_say_where_the_file_comes_from(source: Source) -> None:
    facts = {entry.key: entry.value for entry in build_qdq(source, "vint8").proto.metadata_props}
    assert facts["softdpu.source"] == "small.h5" and facts["softdpu.source_sha256"] == source.sha256
    assert facts["softdpu.format"] == "vint8" and facts["softdpu.layout"] == "nhwc"


@pytest.mark.parametrize(("form", "suffix"), [("xint8", ".onnx"), ("vint8", ".onnx"), ("tflite", ".tflite")])
def test_the_same_network_gives_the_same_bytes(source: Source, form: str, suffix: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}{suffix}" for name in ("first", "second")]
    for path in paths:
        Export(source, form, path, Options())
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_relu6_is_clip_or_what_int8_s_end_makes_of_relu(source: Source) -> None:
    """VINT8 has Relu where 127 steps are at most 6, else Clip: a Relu there would let larger numbers pass."""
    ends = {
        node.key: 127 * 2.0**-node.output.position
        for node in source.program.nodes
        if node.attrs.get("nonlinear") == "RELU6"
    }
    assert ends
    nodes = {node.name: node.op_type for node in build_qdq(source, "vint8").proto.graph.node}
    for key, end in ends.items():
        assert nodes[f"{key}_relu6"] == ("Relu" if end <= 6 else "Clip")


def test_serialized_bytes_parse_to_the_same_model(source: Source) -> None:
    proto = build_qdq(source, "xint8").proto
    assert onnx.load_model_from_string(serialize(proto)) == proto
    assert helper.printable_graph(proto.graph)
