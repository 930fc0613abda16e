"""A small network in the form in which torch.onnx.export writes YOLOv8: three heads, their decoding behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

BINS = 16
STRIDES = (8, 16, 32)


class _Graph:
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(self, op: str, name: str, *inputs: str, outputs: int = 1, **attrs: Any) -> Any:
        made = [f"{name}_output_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attrs))
        return made[0] if outputs == 1 else made

    def conv(self, name: str, x: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> str:
        scale = (2 / (inputs * kernel**2)) ** 0.5
        weights = self.constant(self.random.normal(0, scale, (outputs, inputs, kernel, kernel)))
        bias = self.constant(self.random.normal(0, 0.3, outputs))
        pads = [kernel // 2] * 4
        return self.add(
            "Conv", f"{name}/Conv", x, weights, bias,
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, dilations=[1, 1], group=1,
        )  # fmt: skip

    def block(self, name: str, x: str, inputs: int, outputs: int, stride: int = 1) -> str:
        x = self.conv(f"{name}/conv", x, inputs, outputs, stride=stride)
        return self.add("Mul", f"{name}/act/Mul", x, self.add("Sigmoid", f"{name}/act/Sigmoid", x))


def write_yolo(path: Path, size: int = 64, classes: int = 3, seed: int = 0) -> list[str]:
    """Write the file; return the tensors that the last convolutions make, in the order of their nodes.

    Its output is float32[1, 4 + classes, cells]: middle x and y, width and height in pixels, and scores.
    """
    make = _Graph(seed)
    x = make.block("/model.0", "images", 3, 8, 2)
    x = make.block("/model.1", x, 8, 8, 2)
    heads, ends, channels = [], [], 8
    for i in range(3):
        x = make.block(f"/model.{2 + i}", x, channels, 8 * (i + 1), 2)
        channels = 8 * (i + 1)
        for branch, count in (("cv2", 4 * BINS), ("cv3", classes)):
            inner = make.block(f"/model.22/{branch}.{i}/{branch}.{i}.0", x, channels, 16)
            ends.append(make.conv(f"/model.22/{branch}.{i}/{branch}.{i}.2", inner, 16, count, 1))
        joined = make.add("Concat", f"/model.22/Concat{'_' + str(i) if i else ''}", *ends[-2:], axis=1)
        shape = make.constant([1, 4 * BINS + classes, -1], np.int64)
        heads.append(make.add("Reshape", f"/model.22/Reshape{'_' + str(i) if i else ''}", joined, shape))
    cells = sum((size // stride) ** 2 for stride in STRIDES)
    joined = make.add("Concat", "/model.22/Concat_3", *heads, axis=2)
    parts = make.constant([4 * BINS, classes], np.int64)
    box, kind = make.add("Split", "/model.22/Split", joined, parts, outputs=2, axis=1)
    box = make.add("Reshape", "/model.22/dfl/Reshape", box, make.constant([1, 4, BINS, cells], np.int64))
    box = make.add("Transpose", "/model.22/dfl/Transpose", box, perm=[0, 2, 1, 3])
    box = make.add("Softmax", "/model.22/dfl/Softmax", box, axis=1)
    weights = make.constant(np.arange(BINS).reshape(1, BINS, 1, 1))
    box = make.add("Conv", "/model.22/dfl/conv/Conv", box, weights, kernel_shape=[1, 1])
    box = make.add("Reshape", "/model.22/dfl/Reshape_1", box, make.constant([1, 4, cells], np.int64))
    middles, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: size // stride, : size // stride].reshape(2, -1) + 0.5
        middles.append(np.stack([columns, rows]))
        strides.append(np.full(rows.size, stride))
    middle = make.constant(np.concatenate(middles, axis=1)[None])
    near, far = make.add("Split", "/model.22/Split_1", box, make.constant([2, 2], np.int64), outputs=2, axis=1)
    near = make.add("Sub", "/model.22/Sub", middle, near)
    far = make.add("Add", "/model.22/Add", middle, far)
    centre = make.add("Div", "/model.22/Div", make.add("Add", "/model.22/Add_1", near, far), make.constant(2))
    sides = make.add("Sub", "/model.22/Sub_1", far, near)
    box = make.add("Concat", "/model.22/Concat_4", centre, sides, axis=1)
    box = make.add("Mul", "/model.22/Mul", box, make.constant(np.concatenate(strides)[None]))
    kind = make.add("Sigmoid", "/model.22/Sigmoid", kind)
    make.nodes.append(helper.make_node("Concat", [box, kind], ["output0"], name="/model.22/Concat_5", axis=1))
    graph = helper.make_graph(
        make.nodes,
        "main_graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + classes, cells])],
        make.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return ends
