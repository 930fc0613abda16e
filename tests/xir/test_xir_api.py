"""The interface of AMD's module: names, types of values, texts, and exceptions where AMD's library ends the process."""

from __future__ import annotations

import numpy as np
import pytest

import xir


def small_graph() -> xir.Graph:
    graph = xir.Graph("net")
    image = graph.create_op("image", "data-fix", {"shape": [1, 8, 8, 3], "data_type": "xint8"})
    weights = graph.create_op(
        "w", "const-fix", {"shape": [4, 3, 3, 3], "data_type": "xint8", "data": np.arange(108, dtype=np.int8)}
    )
    bias = graph.create_op("b", "const-fix", {"shape": [4], "data_type": "xint8", "data": bytes(4)})
    conv = graph.create_op(
        "conv",
        "conv2d-fix",
        {"kernel": [3, 3], "stride": [2, 2], "pad": [0, 1, 0, 1], "nonlinear": "RELU"},
        {"bias": [bias], "input": [image], "weights": [weights]},
    )
    graph.create_op("out", "fix2float", fix_attrs(), {"input": [conv]})
    return graph


def fix_attrs() -> dict[str, object]:
    return {"fix_point": 4, "bit_width": 8, "round_mode": "DPU_ROUND", "if_signed": True}


def test_ops_and_tensors() -> None:
    graph = small_graph()
    conv = graph.get_op("conv")
    assert (graph.get_name(), graph.get_op_num(), graph.get_op("none")) == ("net", 5, None)
    assert (conv.get_name(), conv.get_type(), conv.get_graph()) == ("conv", "conv2d-fix", graph)
    assert isinstance(graph.get_ops(), set) and isinstance(graph.get_tensors(), set)
    assert [op.get_name() for op in graph.toposort()] == ["image", "w", "b", "conv", "out"]
    assert {op.get_name() for op in graph.get_head_ops()} == {"image", "w", "b"}
    assert {op.get_name() for op in graph.get_tail_ops()} == {"out"}
    assert conv.get_input_num() == 3 and conv.get_input_num("bias") == 1 and conv.get_input_num("nothing") == 0
    assert list(conv.get_input_ops()) == ["bias", "input", "weights"]
    assert [tensor.name for tensor in conv.get_input_tensors()] == ["b", "image", "w"]
    assert conv.get_input_op("weights").get_name() == "w" and conv.get_input_ops_by_name("none") == []
    assert conv.get_input_tensor(name="input", idx=0) is graph.get_tensor("image")
    assert conv.get_input_tensors_by_name("weights") == [graph.get_tensor("w")]
    assert graph.get_op("image").get_fanout_ops() == [conv] and graph.get_op("image").get_fanout_num() == 1
    tensor = conv.get_output_tensor()
    assert (tensor.name, tensor.dims, tensor.ndim, tensor.dtype) == ("conv", [1, 4, 4, 4], 4, "xint8")
    assert (tensor.get_element_num(), tensor.get_data_size(), tensor.producer) == (64, 64, conv)
    assert graph.get_tensor_producer(tensor) is conv and graph.get_tensor("none") is None
    assert graph.get_op("out").get_output_tensor().dtype == "float32"
    tensor.name = "conv_fix"
    assert graph.get_tensor("conv_fix") is tensor


def test_texts() -> None:
    graph = small_graph()
    op = graph.get_op("image")
    assert repr(graph) == "<xir.Graph named 'net'>" and str(graph) == "{name: 'net', op_num: 5, attrs: {}}"
    assert repr(op) == "<xir.Op named 'image'>"
    assert str(op) == "{name: 'image', type: 'data-fix', attrs: {'shape': [1, 8, 8, 3], 'data_type': 'xint8'}}"
    tensor = op.get_output_tensor()
    assert repr(tensor) == "<xir.Tensor named 'image'>"
    assert str(tensor) == "{name: 'image', shape: [1, 8, 8, 3], type: 'xint8', attrs: {}}"
    root = graph.get_root_subgraph()
    assert repr(root) == "<xir.Subgraph named 'root'>" and str(root) == "{name: 'root', op_num: 5, attrs: {}}"
    assert repr(xir.DataType("XINT8")) == "<xir.DataType 'xint8'>" and str(xir.DataType("float32")) == "'float32'"


def test_data_types() -> None:
    assert xir.DataType("xint8") == xir.DataType(xir.DataType.XINT, 8) == xir.DataType(xir.DataType.Type.XINT, 8)
    assert (xir.DataType().type, xir.DataType().bit_width) == (xir.DataType.UNKNOWN, 0)
    assert [int(t) for t in (xir.DataType.INT, xir.DataType.UINT, xir.DataType.XINT, xir.DataType.XUINT)] == [
        0,
        1,
        2,
        3,
    ]
    for name in ("Xint8", "int", "8", "", "int8 ", "double64", "xint-8"):
        with pytest.raises(xir.XirError, match="data type"):
            xir.DataType(name)
    with pytest.raises(xir.XirError):
        xir.DataType(9, 8)


@pytest.mark.parametrize(
    ("value", "kind", "back"),
    [
        (True, "bool", True),
        (7, "int32", 7),
        (np.int64(7), "int32", 7),
        (0.1, "double", 0.1),
        ("text", "string", "text"),
        ([1, 2], "int32_vec", [1, 2]),
        ((1, 2), "int32_vec", [1, 2]),
        ([True, False], "int32_vec", [1, 0]),
        ([0.5, 1.5], "double_vec", [0.5, 1.5]),
        (["a", "b"], "string_vec", ["a", "b"]),
        ({"b": 2, "a": 1}, "map_string_2_int32", {"a": 1, "b": 2}),
        ({"a": "x"}, "map_string_2_string", {"a": "x"}),
        ({"REG_0": b"\x01\x02"}, "map_string_2_bytes", {"REG_0": b"\x01\x02"}),
        (b"\x00\xff", "bytes", b"\x00\xff"),
        (np.array([1, -1], np.int8), "bytes", b"\x01\xff"),
        (xir.Attr("uint64", 2**64 - 1), "uint64", 2**64 - 1),
        (xir.Attr("float_vec", [0.1]), "float_vec", [float(np.float32(0.1))]),
        (xir.Attr("string_vec", []), "string_vec", []),
        (xir.Attr("map_string_2_int64_vec", {"a": [2**40]}), "map_string_2_int64_vec", {"a": [2**40]}),
        (xir.Attr("bytes_vec", [b"a", b""]), "bytes_vec", [b"a", b""]),
        (xir.Attr("bool_vec", [True, False]), "bool_vec", [True, False]),
        (xir.Attr("map_string_2_string_vec", {}), "map_string_2_string_vec", {}),
    ],
)
def test_attributes_keep_kind_and_value_through_a_file(value: object, kind: str, back: object) -> None:
    graph = small_graph()
    for holder in (graph, graph.get_op("conv"), graph.get_op("conv").get_output_tensor(), graph.get_root_subgraph()):
        assert holder.set_attr("key", value) is holder
        assert holder.has_attr("key") and holder.get_attr_kind("key") == kind
        assert holder.get_attr("key") == back and type(holder.get_attr("key")) is type(back)
    read = xir.Graph.deserialize_from_string(graph.serialize_to_string())
    for holder in (read, read.get_op("conv"), read.get_op("conv").get_output_tensor(), read.get_root_subgraph()):
        assert (holder.get_attr_kind("key"), holder.get_attr("key")) == (kind, back)


NO_TYPE = [None, [], {}, [1, "a"], {"a": 0.5}, {1: 2}, object(), 2**31, [2**40], "\ud800"]
WRONG_KIND = [("uint64", -1), ("int32", 1.5), ("nothing", 1), ("string", 1), ("int32_vec", "12"), ("bool", 2)]


@pytest.mark.parametrize("value", [*NO_TYPE, *(xir.Attr(*pair) for pair in WRONG_KIND)])
def test_attributes_refuse_what_has_no_type(value: object) -> None:
    op = small_graph().get_op("conv")
    with pytest.raises(xir.XirError, match=r"op 'conv' \(conv2d-fix\): attribute 'key'"):
        op.set_attr("key", value)


def test_known_names_get_the_kind_that_amd_uses() -> None:
    root = small_graph().get_root_subgraph()
    root.set_attr("dpu_fingerprint", 0x101000056010407).set_attr("workload", 0)
    root.set_attr("reg_id_to_parameter_value", {"REG_0": np.array([1, 2], np.int8)})
    assert (root.get_attr_kind("dpu_fingerprint"), root.get_attr("dpu_fingerprint")) == ("uint64", 0x101000056010407)
    assert root.get_attr_kind("workload") == "uint64"
    assert root.get_attr("reg_id_to_parameter_value") == {"REG_0": b"\x01\x02"}


def test_definitions_give_kinds_and_defaults() -> None:
    graph = small_graph()
    conv = graph.get_op("conv")
    assert conv.get_attr("dilation") == [1, 1] and conv.get_attr("group") == 1 and conv.get_attr("hsigmoid_in") == -128
    alpha = graph.create_op("leaky", "leaky-relu", {"alpha": 0.1}, {"input": [conv]})
    assert alpha.get_attr_kind("alpha") == "float" and alpha.get_attr("alpha") == float(np.float32(0.1))
    conv.set_attrs({"kernel": [3, 3], "stride": [2, 2], "pad": [0, 1, 0, 1]})
    assert not conv.has_attr("device") and conv.get_attr("nonlinear") == ""


def test_values_are_copies() -> None:
    op = small_graph().get_op("conv")
    op.get_attr("kernel").append(9)
    op.get_attrs()["kernel"].append(9)
    op.get_output_tensor().dims.append(9)
    assert op.get_attr("kernel") == [3, 3] and op.get_output_tensor().ndim == 4


def test_missing_attribute_names_the_op() -> None:
    with pytest.raises(xir.XirError, match=r"op 'conv' \(conv2d-fix\) has no attribute 'fix_point' \(it has: .*kernel"):
        small_graph().get_op("conv").get_attr("fix_point")


@pytest.mark.parametrize(
    ("kind", "attrs", "inputs", "text"),
    [
        (
            "conv2d-fix",
            {"kernel": [1, 1], "stride": [1, 1]},
            {"input": ["image"]},
            "exactly one op as argument 'weights'",
        ),
        ("relu", {}, {}, "exactly one op as argument 'input'"),
        ("relu", {}, {"input": ["image", "w"]}, "exactly one op as argument 'input'"),
        ("relu", {}, {"inputs": ["image"]}, "no argument 'inputs'"),
        ("add", {}, {"input": []}, "one or more"),
        ("matmul", {"transpose_a": False, "transpose_b": False}, {"input": ["image", "w"]}, "broadcast"),
        ("leaky-relu", {}, {"input": ["image"]}, "needs the attribute 'alpha' of kind float"),
        ("concat-fix", {"axis": "3"}, {"input": ["image"]}, "'axis' must be of kind int32, got str"),
        ("concat-fix", {"axis": 7}, {"input": ["image"]}, "axis 7"),
        ("reshape-fix", {"shape": [1, 5]}, {"input": ["image"]}, "does not reshape"),
        ("mine", {}, {"input": ["image"]}, "needs the attribute 'shape'"),
        ("const", {"shape": [0], "data_type": "float32", "data": b""}, {}, "'shape' must be positive"),
        ("data", {"shape": [1], "data_type": "nothing"}, {}, "data type"),
    ],
)
def test_create_op_names_what_is_wrong(kind: str, attrs: dict, inputs: dict, text: str) -> None:
    graph = small_graph()
    before = graph.serialize_to_string()
    with pytest.raises(xir.XirError, match="op 'new'.*" + text):
        graph.create_op("new", kind, attrs, {name: [graph.get_op(o) for o in ops] for name, ops in inputs.items()})
    assert graph.serialize_to_string() == before  # nothing of the failed op stays behind
    assert graph.get_op("image").get_fanout_num() == 1


def test_graphs_do_not_mix_and_names_are_unique() -> None:
    graph, other = small_graph(), small_graph()
    with pytest.raises(xir.XirError, match="same graph"):
        graph.create_op("new", "relu", {}, {"input": [other.get_op("conv")]})
    with pytest.raises(xir.XirError, match="an op named 'conv' already"):
        graph.create_op("conv", "relu", {}, {"input": [graph.get_op("conv")]})
    with pytest.raises(xir.XirError, match="not in graph"):
        graph.remove_op(other.get_op("out"))
    assert not graph.get_root_subgraph().has_op(other.get_op("conv"))


def test_unknown_types_pass_through() -> None:
    graph = small_graph()
    attrs = {"shape": [1, 10], "data_type": "float32", "mine": [1.5]}
    graph.create_op("special", "Mylayer", attrs, {"input": [graph.get_op("conv"), graph.get_op("image")]})
    read = xir.Graph.deserialize_from_string(graph.serialize_to_string()).get_op("special")
    assert (read.get_type(), read.get_attrs()) == ("Mylayer", attrs)
    assert (read.get_output_tensor().dims, read.get_output_tensor().dtype) == ([1, 10], "float32")
    assert [op.get_name() for op in read.get_input_ops_by_name("input")] == ["conv", "image"]


def test_rewiring() -> None:
    graph = small_graph()
    conv, out = graph.get_op("conv"), graph.get_op("out")
    relu = graph.create_op("relu", "relu", {}, {"input": [conv]})
    out.replace_input_ops(conv, relu)
    assert out.get_input_op("input") is relu and conv.get_fanout_ops() == [relu]
    with pytest.raises(xir.XirError, match="of shape"):
        out.replace_input_ops(relu, graph.get_op("image"))
    out.set_input_ops("input", [conv])
    graph.remove_op(relu)
    assert graph.get_op("relu") is None and conv.get_fanout_ops() == [out]
    with pytest.raises(xir.XirError, match="it is an input of 'out'"):
        graph.remove_op(conv)
    with pytest.raises(xir.XirError, match="same graph"):
        out.set_input_ops("input", [relu])
    both = graph.create_op("twice", "add", {}, {"input": [conv, conv]})
    assert conv.get_fanout_num() == 3 and conv.get_fanout_ops() == [out, both]


def test_a_cycle_is_named() -> None:
    graph = small_graph()
    first = graph.create_op("first", "relu", {}, {"input": [graph.get_op("conv")]})
    second = graph.create_op("second", "relu", {}, {"input": [first]})
    first.set_input_ops("input", [second])
    with pytest.raises(xir.XirError, match=r"graph 'net': the ops around '(first|second)' form a cycle"):
        graph.toposort()
    with pytest.raises(xir.XirError, match="cycle"):
        graph.serialize_to_string()


def test_subgraph_tree() -> None:
    graph = small_graph()
    root = graph.get_root_subgraph()
    assert root.is_root and root.is_leaf and root.depth == 0 and root.get_parent() is None
    root.create_child_subgraph()
    assert root.get_children_num() == 5 and not root.is_leaf
    assert {child.get_name() for child in root.get_children()} == {f"subgraph_{o.get_name()}" for o in graph.get_ops()}
    with pytest.raises(xir.XirError, match="has children already"):
        root.create_child_subgraph()
    dpu = root.merge_children({root.find_child_subgraph_by_op_name(name) for name in ("conv", "w", "b")})
    assert dpu.get_name() == "subgraph_b" and dpu.set_name("dpu") is dpu and dpu.get_op_num() == 3
    assert [op.get_name() for op in dpu.toposort()] == ["w", "b", "conv"]
    assert (dpu.depth, dpu.root, dpu.get_parent(), dpu.get_graph()) == (1, root, root, graph)
    assert root.is_child(dpu) and not dpu.is_child(root)
    names = [child.get_name() for child in root.toposort_child_subgraph()]
    assert names == ["subgraph_image", "dpu", "subgraph_out"]
    conv = graph.get_op("conv")
    assert dpu.has_op(conv) and dpu.has_op("w") and not dpu.has_op("image") and not dpu.has_op("none")
    assert root.find_child_subgraph_by_op(conv) is dpu and dpu.find_child_subgraph_by_op(conv) is None
    assert graph.get_leaf_subgraph(conv) is dpu
    assert {tensor.name for tensor in dpu.get_input_tensors()} == {"image"}
    assert {tensor.name for tensor in dpu.get_output_tensors()} == {"conv"}
    assert dpu.get_tensor_producer(conv.get_output_tensor()) is conv
    assert dpu.get_tensor_producer(graph.get_tensor("image")) is None
    dpu.create_child_subgraph()
    assert root.get_op_num() == 5 and graph.get_leaf_subgraph(conv).depth == 2
    with pytest.raises(xir.XirError, match="no leaf"):
        root.merge_children({dpu})
    with pytest.raises(xir.XirError, match="not its child"):
        root.merge_children(dpu.get_children())


def test_new_and_removed_ops_follow_the_tree() -> None:
    graph = small_graph()
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    leaf = root.find_child_subgraph_by_op_name("conv")
    graph.create_op("inside", "relu", {}, {"input": [graph.get_op("conv")]}, leaf)
    graph.create_op("beside", "relu", {}, {"input": [graph.get_op("conv")]})
    assert leaf.get_op_num() == 2 and graph.get_leaf_subgraph(graph.get_op("beside")).get_name() == "subgraph_beside"
    graph.remove_op(graph.get_op("beside"))
    graph.remove_op(graph.get_op("inside"))
    assert leaf.get_op_num() == 1 and root.get_children_num() == 5


def test_children_that_depend_on_each_other_are_named() -> None:
    graph = small_graph()
    relu = graph.create_op("relu", "relu", {}, {"input": [graph.get_op("conv")]})
    graph.create_op("last", "relu", {}, {"input": [relu]})
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    root.merge_children({root.find_child_subgraph_by_op_name(name) for name in ("conv", "last")})
    with pytest.raises(xir.XirError, match=r"subgraph 'root': its children around .* cycle"):
        root.toposort_child_subgraph()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4"])
def test_constants_come_back(dtype: str) -> None:
    data = np.arange(24).reshape(2, 3, 4).astype(dtype).transpose(2, 0, 1)
    op = xir.Graph("g").create_const_op("c", data)
    assert (op.get_type(), op.get_attr("shape")) == ("const", [4, 2, 3])
    np.testing.assert_array_equal(xir.const_data(op), data)


def test_constants_of_a_wrong_size_are_named() -> None:
    graph = small_graph()
    graph.get_op("w").set_attr("data", bytes(107))
    with pytest.raises(
        xir.XirError, match=r"op 'w' \(const-fix\) holds 107 bytes, its shape \[4, 3, 3, 3\] of xint8 needs 108"
    ):
        xir.const_data(graph.get_op("w"))
    graph.get_op("w").replace_output_tensor(xir.Tensor.create("w", [2], "bfloat16"))
    with pytest.raises(xir.XirError, match="bfloat16"):
        xir.const_data(graph.get_op("w"))
    with pytest.raises(xir.XirError, match="has no attribute 'data'"):
        xir.const_data(graph.get_op("image"))
    with pytest.raises(xir.XirError, match="integers or floats"):
        graph.create_const_op("bad", np.array(["text"]))


def test_tensors_can_be_replaced() -> None:
    graph = small_graph()
    conv = graph.get_op("conv")
    copy = xir.Tensor.clone(conv.get_output_tensor())
    assert copy.producer is None and copy.dims == [1, 4, 4, 4]
    conv.replace_output_tensor(xir.Tensor.create("new", [-1, 4, 4, 4], "xint8"))
    assert graph.get_tensor("new").producer is conv
    read = xir.Graph.deserialize_from_string(graph.serialize_to_string())
    assert read.get_tensor("new").dims == [-1, 4, 4, 4]
    for dims in ([1.5], [-2], ["a"], [2**31]):
        with pytest.raises(xir.XirError, match="tensor 't'"):
            xir.Tensor.create("t", dims, "xint8")


def test_drawings(tmp_path, monkeypatch) -> None:
    graph = small_graph()
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    root.find_child_subgraph_by_op_name("conv").set_attr("device", "DPU")
    graph.save_as_dot(str(tmp_path / "g.dot"))
    text = (tmp_path / "g.dot").read_text()
    assert '"image" -> "conv";' in text and "color=blue" in text and text.count("{") == text.count("}")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(xir.XirError, match="Graphviz"):
        graph.save_as_image(str(tmp_path / "g.svg"), "svg")
    with pytest.raises(xir.XirError, match="cannot be written"):
        graph.save_as_dot(str(tmp_path / "none" / "g.dot"))
