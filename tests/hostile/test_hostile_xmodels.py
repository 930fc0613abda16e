"""Damaged .xmodel files: read, shown, and run by both engines."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from mutate import NUMBERS, TEXTS, mutate_bytes
from workers import Door, judge, run

import vart
import xir
from softdpu.errors import SoftdpuError
from softdpu.xmodel import load, show

sys.path.insert(0, str(Path(__file__).parents[1] / "vart"))
from small_models import RUNNERS, compiled

SEEDS: list[bytes] = []
_ODD = (*NUMBERS, *TEXTS, True, [], [0], [1, 2, 3, 4, 5], [-1, -1], [2**31 - 1] * 2, [0.5], b"", b"\0" * 7, ["a"], {})


def _pooled() -> xir.Graph:
    """Return a graph of pooling, padding, concatenation and reshape."""
    graph = xir.Graph("pooled")
    image = graph.create_op("image", "data-fix", {"shape": [1, 6, 6, 3], "data_type": "XINT8"}, {})
    window = {"kernel": [2, 2], "stride": [2, 2], "pad": [0, 0, 0, 0], "global": False, "pad_mode": "FLOOR"}
    most = graph.create_op("most", "pool-fix", {**window, "type": "MAX"}, {"input": [image]})
    mean = graph.create_op("mean", "pool-fix", {**window, "type": "AVG", "count_include_pad": True}, {"input": [image]})
    both = graph.create_op("both", "concat-fix", {"axis": 3}, {"input": [most, mean]})
    flat = graph.create_op("flat", "reshape-fix", {"shape": [1, 54]}, {"input": [both]})
    numbers = {"fix_point": 4, "bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}
    for op in (image, most, mean, both, flat):
        op.get_output_tensor().set_attrs(numbers)
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    user = {root.find_child_subgraph_by_op(image)}
    root.merge_children(root.get_children() - user).set_attrs({"device": "DPU", "runner": RUNNERS})
    return graph


def _prepare() -> None:
    for graph in (compiled(), _pooled()):
        SEEDS.append(graph.serialize_to_string())
        _run(graph, "run")
        _run(graph, "ref")


def _make(rng: random.Random, folder: Path) -> tuple[Path, int]:
    path, data = folder / "model.xmodel", rng.choice(SEEDS)
    if rng.random() < 0.3:
        path.write_bytes(mutate_bytes(data, rng))
    else:
        path.write_bytes(_damaged(rng, data))
    return path, rng.randrange(4)


def _damaged(rng: random.Random, data: bytes) -> bytes:
    """Return a graph's message with fields of other values: names, types, shapes, attributes, arguments, the tree."""
    message = xir.messages.GraphMessage()
    message.ParseFromString(data)
    for _ in range(rng.randint(1, 3)):
        op = rng.choice(message.op_node)
        kind = rng.randrange(9)
        if kind == 0 and op.output_tensor.tensor_dim:
            dims = op.output_tensor.tensor_dim
            dims[rng.randrange(len(dims))] = rng.choice((0, 1, 7, 65536, 2**31 - 1, 2**32 - 1))
        elif kind == 1:
            op.op_type = rng.choice([other.op_type for other in message.op_node] + ["", "fly", "download"])
        elif kind == 2 and op.args:
            arg = rng.choice(op.args)
            arg.arg_ops.append(rng.choice(message.op_node).op_name)
        elif kind == 3 and op.args:
            del op.args[rng.randrange(len(op.args)) :]
        elif kind == 4:
            op.output_tensor.data_type = rng.choice((0, 1, 2, 3, 4, 5, 9, 100))
            op.output_tensor.tensor_bit_width = rng.choice((1, 4, 8, 16, 32, 64, 2**31 - 1))
        elif kind == 5:
            op.op_name = rng.choice([other.op_name for other in message.op_node] + ["", "x" * 5000, "a\nb"])
        elif kind == 6 and message.subg_root.subg_child:
            del message.subg_root.subg_child[rng.randrange(len(message.subg_root.subg_child))]
        else:
            _change_attribute(rng, message)
    return bytes(message.SerializeToString())


def _change_attribute(rng: random.Random, message: Any) -> None:
    """Give one attribute of an op, a tensor or a subgraph another value, of any type, or take it away."""
    holders = [op.op_attr for op in message.op_node] + [op.output_tensor.tensor_attr for op in message.op_node]
    holders += [child.subg_attr for child in message.subg_root.subg_child]
    holder = rng.choice([found for found in holders if len(found)])
    key = rng.choice(sorted(holder))
    if rng.random() < 0.2:
        del holder[key]
        return
    graph = xir.Graph("other")
    try:
        graph.set_attr("value", rng.choice(_ODD))
    except (xir.XirError, TypeError, ValueError, OverflowError):
        return  # no attribute can hold this
    graph.create_op("a", "data", {"shape": [1], "data_type": "FLOAT32"}, {})
    other = xir.messages.GraphMessage()
    other.ParseFromString(graph.serialize_to_string())
    holder[key].CopyFrom(other.graph_attr["value"])


def _run(graph: xir.Graph, mode: str) -> None:
    for device, subgraph in load.list_devices(graph):
        if device == "DPU":
            runner = vart.Runner.create_runner(subgraph, mode)
            shapes = [tensor.dims for tensor in (*runner.get_input_tensors(), *runner.get_output_tensors())]
            if sum(int(np.prod(shape, dtype=object)) for shape in shapes) > 1 << 24:
                raise SoftdpuError("the app would not make buffers of that size")
            inputs, outputs = ([np.zeros(tensor.dims, np.int8) for tensor in tensors] for tensors in _tensors(runner))
            runner.wait(runner.execute_async(inputs, outputs))


def _tensors(runner: Any) -> tuple[Any, Any]:
    return runner.get_input_tensors(), runner.get_output_tensors()


def _take(case: tuple[Path, int]) -> None:
    path, way = case
    graph = load.load(path)
    if way == 0:
        list(show.show_text(show.describe(path)))
    else:
        _run(graph, "ref" if way == 1 else "run")


def test_damaged_xmodels_become_one_line() -> None:
    judge(run(Door("xmodel", _make, _take, _prepare, (SoftdpuError, xir.XirError), 30), 300))
