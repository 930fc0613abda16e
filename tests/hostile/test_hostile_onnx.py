"""Damaged and hostile ONNX files: imported, saved as a Keras model, listed."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from mutate import mutate_bytes
from onnx import TensorProto, helper, numpy_helper
from workers import Door, judge, run

from softdpu.errors import SoftdpuError
from softdpu.onnx_import import ops
from softdpu.onnx_import.convert import import_onnx
from softdpu.onnx_import.listing import listing
from softdpu.onnx_import.registry import OPERATIONS
from softdpu.training.fit import save

sys.path.insert(0, str(Path(__file__).parents[1] / "onnx_import"))
from graphs import Builder
from random_graphs import random_model

SEEDS: list[bytes] = []
INTS = (0, 1, -1, 2, 3, 7, 255, 65536, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63))
FLOATS = (0.0, -1.0, 0.5, 1e38, float("nan"), float("inf"), -float("inf"))
WORDS = ("", "SAME_UPPER", "linear", "x" * 3000, "a\nb\x1b[2J", "\u202e", "é")
# Operations that make large tensors of small ones, and those that hold graphs.
GROWING = ("ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "OneHot", "EyeLike", "Upsample", "If", "Loop")


def _prepare() -> None:
    ops.load_all()
    SEEDS.extend(random_model(seed, 5)[0].SerializeToString() for seed in range(12))
    make = Builder((1, 3, 8, 8))
    x = make.add("Relu", make.conv("images", 3, 4))
    x = make.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = make.add("Reshape", x, make.constant([1, 64], np.int64))
    SEEDS.append(make.model(make.add("Gemm", x, make.normal(64, 3), make.normal(3))).SerializeToString())
    make = Builder((1, 3, 8, 8))
    shape = make.add("Concat", make.constant([1, 3], np.int64), make.constant([8, 8], np.int64), axis=0)
    x = make.add("Add", "images", make.add("Expand", make.constant([[[[1.0]]]]), shape))
    x = make.add("Add", x, make.add("ConstantOfShape", make.add("Shape", x)))
    steps = make.add("Range", make.constant(0, np.int64), make.constant(8, np.int64), make.constant(1, np.int64))
    x = make.add("Add", x, make.add("Tile", make.add("Cast", steps, to=1), make.constant([1], np.int64)))
    SEEDS.append(make.model(x).SerializeToString())
    SEEDS.append(branches(1).SerializeToString())


def branches(depth: int) -> Any:
    """Return a model of an If, `depth` deep."""
    make = Builder((1, 3, 8, 8))
    end = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Relu", ["images"], ["y"])], "inner", [], [end])
    for _ in range(depth):
        node = helper.make_node("If", ["yes"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "outer", [], [end])
    graph.input.extend(make.inputs)
    graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _make(rng: random.Random, folder: Path) -> tuple[Path, int]:
    path, data = folder / "net.onnx", rng.choice(SEEDS)
    if rng.random() < 0.2:
        path.write_bytes(mutate_bytes(data, rng))
        return path, rng.randrange(3)
    model = onnx.ModelProto()
    model.ParseFromString(data)
    for _ in range(rng.randint(1, 3)):
        if model.graph.node:
            rng.choice(CHANGES)(rng, model)
    path.write_bytes(model.SerializeToString())
    return path, rng.randrange(3)


def _attribute(rng: random.Random, model: Any) -> None:
    node = rng.choice(model.graph.node)
    if not node.attribute or rng.random() < 0.2:
        name = rng.choice(("axis", "axes", "pads", "strides", "kernel_shape", "perm", "to", "group", "keepdims"))
    else:
        at = rng.randrange(len(node.attribute))
        name = node.attribute[at].name
        del node.attribute[at]
        if rng.random() < 0.15:
            return
    value: Any = rng.choice((_int, _ints, _ints, _float, _floats, _word))(rng)
    attribute = helper.make_attribute(name, value, attr_type=onnx.AttributeProto.INTS if value == [] else None)
    if rng.random() < 0.05:
        attribute.type = rng.randrange(15)
    node.attribute.append(attribute)


def _int(rng: random.Random) -> int:
    return rng.choice(INTS)


def _ints(rng: random.Random) -> list[int]:
    return [rng.choice(INTS) for _ in range(rng.randrange(6))]


def _float(rng: random.Random) -> float:
    return rng.choice(FLOATS)


def _floats(rng: random.Random) -> list[float]:
    return [rng.choice(FLOATS) for _ in range(rng.randint(1, 5))]


def _word(rng: random.Random) -> str:
    return rng.choice(WORDS)


def _kind(rng: random.Random, model: Any) -> None:
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice((*sorted(OPERATIONS), *GROWING, "", "x\ny", "Scan", "NonZero"))
    if rng.random() < 0.1:
        node.domain = rng.choice(("com.microsoft", "ai.onnx.ml", "x" * 2000, "\n"))


def _wires(rng: random.Random, model: Any) -> None:
    node, other = rng.choice(model.graph.node), rng.choice(model.graph.node)
    names = [*other.output, *node.output, *other.input, *(tensor.name for tensor in model.graph.initializer), "", "no"]
    what = rng.randrange(5)
    if what == 0 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif what == 1:
        node.input.append(rng.choice(names))
    elif what == 2 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif what == 3 and node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    else:
        node.output.append(rng.choice(names))


def _tensor(rng: random.Random, model: Any) -> None:
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    what = rng.randrange(7)
    if what == 0:
        tensor.data_type = rng.choice((*range(24), 99, -1))
    elif what == 1:
        del tensor.dims[:]
        tensor.dims.extend(_ints(rng))
    elif what == 2:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif what == 3:
        tensor.name = rng.choice(("", "images", "x", *(other.name for other in model.graph.initializer)))
    elif what == 4:
        array = np.array([rng.choice(INTS) for _ in range(rng.randrange(6))], np.int64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    elif what == 5:
        array = np.array(_floats(rng), rng.choice((np.float32, np.float64, np.float16)))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    else:
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "net.onnx"), ("offset", str(_int(rng))), ("length", str(_int(rng)))):
            tensor.external_data.add(key=key, value=rng.choice((value, value, "x", "", "/etc/passwd", "..", "a\0b")))


def _ends(rng: random.Random, model: Any) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    what = rng.randrange(5)
    if what == 0:
        value.name = rng.choice(("", "no", model.graph.node[0].output[0] if model.graph.node[0].output else "x"))
    elif what == 1:
        value.type.Clear()
    elif what == 2:
        value.type.tensor_type.elem_type = rng.choice(range(20))
    elif what == 3 and value.type.tensor_type.shape.dim:
        rng.choice(value.type.tensor_type.shape.dim).dim_value = rng.choice(INTS)
    else:
        shape = value.type.tensor_type.shape
        del shape.dim[rng.randrange(len(shape.dim) + 1) :]
        shape.dim.add(dim_value=rng.choice(INTS))


def _frame(rng: random.Random, model: Any) -> None:
    what = rng.randrange(5)
    if what == 0:
        model.opset_import[0].version = rng.choice((*range(5, 24), 10**9))
    elif what == 1:
        model.ir_version = rng.choice((0, 1, 3, 99))
    elif what == 2:
        model.graph.node.append(rng.choice(model.graph.node))
    elif what == 3:
        del model.graph.node[rng.randrange(len(model.graph.node))]
    else:
        node = rng.choice(model.graph.node)
        node.domain = "mine"
        calls = [helper.make_node(node.op_type, ["a"], ["b"], domain=rng.choice(("", "mine")))]
        model.functions.append(helper.make_function("mine", node.op_type, ["a"], ["b"], calls, model.opset_import))
        model.opset_import.append(helper.make_opsetid("mine", 1))


CHANGES = (_attribute, _attribute, _kind, _wires, _tensor, _tensor, _ends, _frame)


def _take(case: tuple[Path, int]) -> None:
    path, way = case
    if way == 0:
        listing(path)
        return
    model = import_onnx(path, None, (8, 8) if way == 2 else None).model
    if way == 1:
        save(model, path.with_suffix(".h5"))
        path.with_suffix(".h5").unlink()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_damaged_onnx_files_become_one_line() -> None:
    judge(run(Door("onnx", _make, _take, _prepare, (SoftdpuError,), 60), 150))


def grown(kind: str) -> Any:
    """Return a model of some hundred bytes whose constants would have billions of numbers."""
    make = Builder((1, 3, 8, 8))
    large = make.constant([1 << 20, 1 << 20], np.int64)
    if kind == "ConstantOfShape":
        x = make.add(kind, large)
    elif kind in ("Expand", "Tile"):
        x = make.add(kind, make.constant([[1.0]]), large)
    elif kind == "Range":
        x = make.add(kind, *(make.constant(value, np.int64) for value in (0, 1 << 40, 1)))
    elif kind == "OneHot":
        x = make.add(kind, make.constant([0]), make.constant(1 << 40, np.int64), make.constant([0.0, 1.0]))
    elif kind == "broadcast":
        x = make.add("ConstantOfShape", make.constant([1 << 16, 1], np.int64))
        x = make.add("Add", x, make.add("Transpose", x))
    elif kind == "Pad":
        x = make.add(kind, make.constant([1.0]), make.constant([1 << 40, 0], np.int64))
    else:
        x = make.constant([1.0])
        for _ in range(40):
            x = make.add("Concat", x, x, axis=0)
    x = make.add("Add", "images", make.add("ReduceSum", x, keepdims=0))
    return make.model(x)


@pytest.mark.parametrize(
    "kind", ["ConstantOfShape", "Expand", "Tile", "Range", "OneHot", "broadcast", "Pad", "Concat again and again"]
)
def test_constants_that_would_fill_the_memory(tmp_path: Path, kind: str) -> None:
    onnx.save(grown(kind), tmp_path / "net.onnx")
    with pytest.raises(SoftdpuError, match=r"makes constants of \d+ numbers"):
        listing(tmp_path / "net.onnx")


@pytest.mark.parametrize("op", ["Gather", "Slice", "Split", "Relu", "Transpose", "Flatten"])
@pytest.mark.parametrize("size", [1 << 25, 1 << 31, (1 << 63) - 1])
def test_an_axis_that_no_image_has(tmp_path: Path, op: str, size: int) -> None:
    make = Builder((1, 3, size, 8))
    if op == "Gather":
        x = make.add(op, "images", make.constant([1, 2], np.int64), axis=2)
    elif op == "Slice":
        x = make.add(op, "images", *(make.constant([value], np.int64) for value in (1, size - 1, 2)))
    elif op == "Split":
        x = make.add(op, "images", axis=2)
    else:
        x = make.add(op, "images")
    onnx.save(make.model(x), tmp_path / "net.onnx")
    start = time.process_time()
    with pytest.raises(SoftdpuError, match="no axis may be longer than 16777216"):
        import_onnx(tmp_path / "net.onnx")
    assert time.process_time() - start < 20


@pytest.mark.parametrize(("node", "attribute"), [("Resize", "mode"), ("Pad", "mode"), ("Conv", "auto_pad")])
@pytest.mark.parametrize("word", [*WORDS, "\u2028", "\x85" * 5000])
def test_words_of_a_file_stay_in_one_line(tmp_path: Path, node: str, attribute: str, word: str) -> None:
    make = Builder((1, 3, 8, 8))
    weights = {"Conv": [make.normal(4, 3, 1, 1)], "Pad": [make.constant([0] * 8, np.int64)]}
    more = weights.get(node, [make.constant([], np.float32), make.constant([1, 1, 2, 2], np.float32)])
    onnx.save(make.model(make.add(node, "images", *more, **{attribute: word})), tmp_path / "net.onnx")
    try:
        import_onnx(tmp_path / "net.onnx")
    except SoftdpuError as error:
        assert str(error).isprintable() and len(str(error)) <= 2000 and str(error).endswith("where"), error


def calling(depth: int, circle: bool) -> Any:
    """Return a model whose functions call one another, each twice."""
    make = Builder((1, 3, 8, 8))
    model = make.model(make.add("Relu", "images"))
    model.graph.node[0].domain, model.graph.node[0].op_type = "mine", f"f{depth}"
    model.opset_import.append(helper.make_opsetid("mine", 1))
    for number in range(depth + 1):
        inner = (f"f{number - 1}", "mine") if number else (f"f{depth}", "mine") if circle else ("Relu", "")
        calls = [helper.make_node(inner[0], ["a"], ["b"], domain=inner[1])]
        calls.append(helper.make_node(inner[0], ["b"], ["c"], domain=inner[1]))
        model.functions.append(helper.make_function("mine", f"f{number}", ["a"], ["c"], calls, model.opset_import))
    return model


@pytest.mark.parametrize(
    ("depth", "circle", "words"), [(0, True, "circle"), (3, True, "circle"), (40, False, "more than 20000")]
)
def test_functions_that_call_one_another(tmp_path: Path, depth: int, circle: bool, words: str) -> None:
    onnx.save(calling(depth, circle), tmp_path / "net.onnx")
    with pytest.raises(SoftdpuError, match=words):
        listing(tmp_path / "net.onnx")
    onnx.save(calling(3, False), tmp_path / "net.onnx")
    assert len(listing(tmp_path / "net.onnx").rows) == 17


def test_graphs_in_graphs(tmp_path: Path) -> None:
    onnx.save(branches(5), tmp_path / "net.onnx")
    assert len(listing(tmp_path / "net.onnx").rows) == 2
    (tmp_path / "net.onnx").write_bytes(nested(500))
    with pytest.raises(SoftdpuError, match="export it again"):
        listing(tmp_path / "net.onnx")


def nested(depth: int) -> bytes:
    """Return the bytes of a model whose nodes hold graphs, far deeper than protobuf reads."""
    data = b""
    for field in (0x2A, 0x0A, 0x32) * depth:  # node.attribute, graph.node, attribute.g
        size, length = len(data), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        data = bytes([field]) + length + bytes([size]) + data
    return b"\x08\x08\x3a" + data[1:]


def test_a_long_chain_takes_no_square_of_its_length(tmp_path: Path) -> None:
    make = Builder((1, 3, 8, 8))
    x = "images"
    for _ in range(1500):
        x = make.add("Sigmoid", make.add("Add", x, make.constant(1.0)))
    onnx.save(make.model(x), tmp_path / "net.onnx")
    start = time.process_time()
    assert len(listing(tmp_path / "net.onnx").rows) == 3001
    assert time.process_time() - start < 20
    make.nodes *= 7
    onnx.save(make.model(x), tmp_path / "net.onnx")
    with pytest.raises(SoftdpuError, match="21000 operations, more than 20000"):
        listing(tmp_path / "net.onnx")


@pytest.mark.parametrize("location", ["a\0b", "weights.bin", "."])
def test_external_data_of_odd_names_and_sizes(tmp_path: Path, location: str) -> None:
    make = Builder((1, 3, 8, 8))
    model = make.model(make.conv("images", 3, 4))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with open(tmp_path / "weights.bin", "wb") as file:
        file.truncate(1 << 40)  # takes no disk
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SoftdpuError, match=r"cannot be; it is not read|more than 8 GiB|leads out"):
        listing(tmp_path / "net.onnx")
