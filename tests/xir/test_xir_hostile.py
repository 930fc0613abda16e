"""Files that are broken or made to harm: one exception with one line that names the file, in little time and memory."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import xir
from xir import messages
from xir.messages import GraphMessage

ROOT = Path(__file__).resolve().parents[2]


def message() -> GraphMessage:
    """A small genuine-looking graph: data -> relu -> relu, one leaf each."""
    graph = xir.Graph("g")
    previous = graph.create_op("a", "data", {"shape": [1, 4], "data_type": "float32"})
    for name in ("b", "c"):
        previous = graph.create_op(name, "relu", {"note": [1, 2]}, {"input": [previous]})
    graph.get_root_subgraph().create_child_subgraph()
    return GraphMessage.FromString(graph.serialize_to_string())


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def edited(edit: Callable[[GraphMessage], object]) -> bytes:
    changed = message()
    edit(changed)
    return changed.SerializeToString()


def nested(depth: int) -> bytes:
    content = field(3, b"a")
    for _ in range(depth):
        content = field(10, content)
    return message().SerializeToString() + content


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"/usr/share/vitis_ai_library/models/fpn/fpn.xmodel", "no protobuf message"),
    "zeros": (bytes(1000), "no protobuf message"),
    "ones": (b"\xff" * 1000, "no protobuf message"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "not an .xmodel"),
    "zip": (b"PK\x03\x04" + bytes(100), "not an .xmodel"),
    "another message": (field(1, b"name"), "holds no ops"),
    "no name": (edited(lambda m: m.op_node[0].ClearField("op_name")), "has no name"),
    "no type": (edited(lambda m: m.op_node[1].ClearField("op_type")), "has no name or no type"),
    "duplicate name": (edited(lambda m: m.op_node.append(m.op_node[2])), "two ops are named 'c'"),
    "cycle": (edited(lambda m: m.op_node[1].args[0].arg_ops.append("c")), "form a cycle"),
    "its own input": (edited(lambda m: m.op_node[1].args[0].arg_ops.append("b")), "form a cycle"),
    "unknown input": (edited(lambda m: m.op_node[1].args[0].arg_ops.append("z")), "op 'b' refers to the op 'z'"),
    "argument twice": (edited(lambda m: m.op_node[1].args.append(m.op_node[1].args[0])), "argument 'input' twice"),
    "unknown op in a subgraph": (
        edited(lambda m: m.subg_root.subg_child[0].op_name.append("z")),
        "refers to the op 'z'",
    ),
    "op in two subgraphs": (
        edited(lambda m: m.subg_root.subg_child[0].op_name.append("c")),
        "op 'c' is in the subgraphs",
    ),
    "op twice in a subgraph": (edited(lambda m: m.subg_root.subg_child[0].op_name.append("a")), "has an op twice"),
    "empty subgraph": (edited(lambda m: m.subg_root.subg_child.add()), "either ops or children"),
    "leaf with children": (
        edited(lambda m: m.subg_root.subg_child[0].subg_child.add(op_name=["a"])),
        "either ops or children",
    ),
    "data type": (
        edited(lambda m: setattr(m.op_node[1].output_tensor, "data_type", 77)),
        "op 'b': its output has an impossible",
    ),
    "bit width": (edited(lambda m: setattr(m.op_node[1].output_tensor, "tensor_bit_width", -8)), "op 'b': its output"),
    "dimension": (
        edited(lambda m: m.op_node[1].output_tensor.tensor_dim.append(2**31)),
        "op 'b': its output has an impossible",
    ),
    "nested too deep": (nested(200), "no protobuf message"),
    "very deep": (nested(3000), "no protobuf message"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_told_in_one_line(name: str, tmp_path: Path) -> None:
    data, text = BROKEN[name]
    path = tmp_path / "broken.xmodel"
    path.write_bytes(data)
    with pytest.raises(xir.XirError) as caught:
        xir.Graph.deserialize(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and text in line and "\n" not in line and len(line) < 1200
    with pytest.raises(xir.XirError):
        xir.Graph.deserialize_from_string(data)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path, text in (
        (tmp_path / "none.xmodel", "No such file"),
        (tmp_path, "no regular file"),
        ("/dev/zero", "regular"),
    ):
        with pytest.raises(xir.XirError, match=f"{path}: cannot be read: .*{text}"):
            xir.Graph.deserialize(path)
    with pytest.raises(xir.XirError, match="cannot be read"):
        xir.Graph.deserialize("a\0b")
    with pytest.raises(xir.XirError, match=r"none/x.xmodel: cannot be written"):
        xir.Graph.deserialize_from_string(message().SerializeToString()).serialize(tmp_path / "none" / "x.xmodel")
    assert list(tmp_path.iterdir()) == []


def test_every_truncation_is_an_error_or_a_smaller_graph() -> None:
    data = message().SerializeToString()
    refused = 0
    for length in range(len(data)):
        try:
            assert xir.Graph.deserialize_from_string(data[:length]).get_op_num() <= 3
        except xir.XirError:
            refused += 1
    assert refused > 0.9 * len(data)


def test_unusual_but_harmless() -> None:
    def empty_value(m: GraphMessage) -> None:
        m.op_node[1].op_attr["nothing"].SetInParent()

    graph = xir.Graph.deserialize_from_string(edited(empty_value))
    assert graph.get_op("b").has_attr("nothing") and graph.get_op("b").get_attr("nothing") is None
    assert GraphMessage.FromString(graph.serialize_to_string()) == GraphMessage.FromString(edited(empty_value))

    huge = edited(lambda m: m.op_node[1].output_tensor.tensor_dim.extend([2**31 - 1] * 50))
    tensor = xir.Graph.deserialize_from_string(huge).get_op("b").get_output_tensor()
    assert tensor.get_element_num() == 4 * (2**31 - 1) ** 50

    backwards = message()
    nodes = list(backwards.op_node)[::-1]
    del backwards.op_node[:]
    backwards.op_node.extend(nodes)
    graph = xir.Graph.deserialize_from_string(backwards.SerializeToString())
    assert [op.get_name() for op in graph.toposort()] == ["a", "b", "c"]

    unlisted = edited(lambda m: m.subg_root.subg_child.pop())
    graph = xir.Graph.deserialize_from_string(unlisted)
    assert graph.get_leaf_subgraph(graph.get_op("c")).get_name() == "subgraph_c"

    rootless = edited(lambda m: m.ClearField("subg_root"))
    assert xir.Graph.deserialize_from_string(rootless).get_root_subgraph().get_op_num() == 3


def test_missing_attributes_and_wrong_constants_are_told_when_they_matter() -> None:
    def strip(m: GraphMessage) -> None:
        m.op_node[0].op_attr.clear()
        m.op_node[1].op_type = "const"
        m.op_node[1].op_attr["data"].bytes_value.value = b"12345"

    graph = xir.Graph.deserialize_from_string(edited(strip))
    with pytest.raises(xir.XirError, match=r"op 'a' \(data\) has no attribute 'shape'"):
        graph.infer_shape()
    with pytest.raises(xir.XirError, match=r"op 'b' \(const\) holds 5 bytes, its shape \[1, 4\] of float32 needs 16"):
        xir.const_data(graph.get_op("b"))


def test_a_tree_too_deep_for_readers_is_refused() -> None:
    graph = xir.Graph("g")
    graph.create_op("a", "data", {"shape": [1], "data_type": "float32"})
    node = graph.get_root_subgraph()
    for _ in range(200):
        node.create_child_subgraph()
        (node,) = node.get_children()
    with pytest.raises(xir.XirError, match="nested deeper"):
        graph.serialize_to_string()


# Bombs: small elements that become large objects. Each is made just long enough to pass or fail the limit.
BOMBS = {
    "ops": lambda n: field(5, b"") * (n // 2),
    "args": lambda n: field(5, field(1, b"a") + field(2, b"b") + field(4, b"") * (n // 2)),
    "sources": lambda n: field(5, field(1, b"a") + field(2, b"b") + field(4, field(2, b"") * (n // 2))),
    "dims": lambda n: field(5, field(1, b"a") + field(2, b"b") + field(5, field(2, bytes(n)))),
    "numbers": lambda n: field(11, field(1, b"k") + field(2, field(16, field(1, bytes(n))))),
    "strings": lambda n: field(11, field(1, b"k") + field(2, field(20, field(1, b"") * (n // 2)))),
    "attributes": lambda n: field(11, b"") * (n // 2),
    "subgraphs": lambda n: field(10, field(10, b"") * (n // 2)),
    "definitions": lambda n: field(101, b"") * (n // 3),
    "unknown": lambda n: (varint(7 << 3) + b"\0") * (n // 2),
}
BOMB_SCRIPT = """
import resource, sys, xir
sys.path.insert(0, sys.argv[1])
from test_xir_hostile import BOMBS
data = BOMBS[sys.argv[2]](int(sys.argv[3]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    xir.Graph.deserialize_from_string(data)
except xir.XirError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_they_are_parsed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "STRUCTURE_LIMIT", 1 << 20)
    monkeypatch.setattr(messages, "parse", None)
    with pytest.raises(xir.XirError, match="more structure than any graph needs"):
        messages.check(BOMBS[name]((1 << 20) + 1000))


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_beyond_the_limit_cost_little(name: str) -> None:
    data = BOMBS[name](messages.STRUCTURE_LIMIT + (1 << 20))
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(xir.XirError, match="more structure than any graph needs"):
        xir.Graph.deserialize_from_string(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    assert time.process_time() - start < 20


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_within_the_limit_stay_below_a_gibibyte(name: str) -> None:
    size = messages.STRUCTURE_LIMIT - 100
    command = [sys.executable, "-c", BOMB_SCRIPT, str(Path(__file__).parent), name, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout.splitlines()[-1]) < 900 << 10


def test_large_constants_are_no_bombs(tmp_path: Path) -> None:
    graph = xir.Graph("g")
    size = messages.STRUCTURE_LIMIT + (1 << 20)
    graph.create_op("w", "const", {"shape": [size], "data_type": "int8", "data": bytes(size)})
    graph.serialize(tmp_path / "large.xmodel")
    assert xir.Graph.deserialize(tmp_path / "large.xmodel").get_op("w").get_attr("data") == bytes(size)
    data = (tmp_path / "large.xmodel").read_bytes()
    (tmp_path / "cut.xmodel").write_bytes(data[: len(data) - 1000])
    with pytest.raises(xir.XirError, match="truncated"):
        xir.Graph.deserialize(tmp_path / "cut.xmodel")


def test_a_huge_file_of_garbage_is_not_even_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.xmodel", "wb") as file:
        file.truncate(8 << 30)  # a hole; takes no room
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(xir.XirError, match=r"not an \.xmodel"):
        xir.Graph.deserialize(tmp_path / "huge.xmodel")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    assert time.process_time() - start < 5


def use(graph: xir.Graph) -> None:
    """Touch everything that reads."""
    for op in graph.get_ops():
        str(op), str(op.get_output_tensor()), op.get_input_ops(), op.get_fanout_num()
        for action in (op.infer_shape, lambda op=op: xir.const_data(op)):
            with contextlib.suppress(xir.XirError):
                action()
    graph.get_root_subgraph().get_output_tensors()
    with contextlib.suppress(xir.XirError):
        graph.serialize_to_string()
        graph.get_root_subgraph().toposort_child_subgraph()


SEED = message().SerializeToString()


@given(st.binary(max_size=300))
@example(b"\x2a\x00")
@settings(max_examples=300, deadline=None)
def test_random_bytes(data: bytes) -> None:
    try:
        use(xir.Graph.deserialize_from_string(data))
    except xir.XirError as error:
        assert "\n" not in str(error)


@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), min_size=1, max_size=4), st.booleans())
@settings(max_examples=600, deadline=None)
def test_changed_bytes(changes: list[tuple[int, int]], insert: bool) -> None:
    data = bytearray(SEED)
    for position, value in changes:
        data[position : position + (not insert)] = bytes([value])
    try:
        use(xir.Graph.deserialize_from_string(bytes(data)))
    except xir.XirError as error:
        assert "\n" not in str(error)


ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["kernel", "stride", "pad", "shape", "axis", "data_type", "data", "scale", "order", "global", "group"]
    ),
    st.one_of(
        st.integers(-(2**31), 2**31 - 1).map(lambda n: ("int32_value", n)),
        st.lists(st.integers(-3, 2**31 - 1), max_size=4).map(lambda v: ("int32_vec_value", v)),
        st.text(max_size=6).map(lambda s: ("string_value", s)),
        st.binary(max_size=8).map(lambda b: ("bytes_value", b)),
        st.booleans().map(lambda b: ("bool_value", b)),
    ),
    max_size=8,
)


@given(
    kind=st.sampled_from(sorted(xir.op_defs.op_defs())),
    attrs=ATTRIBUTES,
    dims=st.lists(st.integers(0, 2**31), max_size=5),
)
@settings(max_examples=400, deadline=None)
def test_wrong_attributes_of_every_op_type(kind: str, attrs: dict, dims: list[int]) -> None:
    def edit(m: GraphMessage) -> None:
        node = m.op_node[2]
        node.op_type = kind
        m.op_node[0].output_tensor.tensor_dim[:] = dims
        node.args.add(arg_name="weights", arg_ops=["a"])
        node.op_attr.clear()
        for name, (slot, value) in attrs.items():
            if slot == "int32_vec_value":
                node.op_attr[name].int32_vec_value.value.extend(value)
            elif slot == "bytes_value":
                node.op_attr[name].bytes_value.value = value
            else:
                setattr(node.op_attr[name], slot, value)

    try:
        use(xir.Graph.deserialize_from_string(edited(edit)))
    except xir.XirError as error:
        assert "\n" not in str(error)
