"""Small ONNX files for the tests of the importer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """An ONNX graph, node after node; each call returns the name of the node's first output."""

    def __init__(self, shape: tuple[Any, ...] = (1, 3, 16, 16), version: int = 17, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.version = version
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, list(shape))]

    def constant(self, value: Any, dtype: Any = np.float32, name: str = "") -> str:
        name = name or f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def normal(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, (1 / np.prod(shape[1:] or shape)) ** 0.5, shape))

    def add(self, op: str, *inputs: str, outputs: int = 1, name: str | None = None, **attrs: Any) -> Any:
        name = f"/{op}_{len(self.nodes)}" if name is None else name
        made = [f"{op}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), made, name=name, **attrs))
        return made[0] if outputs == 1 else made

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, **attrs: Any) -> str:
        attrs.setdefault("pads", [kernel // 2] * 4)
        group = attrs.get("group", 1)
        weights = self.normal(outputs, inputs // group, kernel, kernel)
        return self.add("Conv", x, weights, self.normal(outputs), kernel_shape=[kernel] * 2, **attrs)

    def swish(self, x: str) -> str:
        return self.add("Mul", x, self.add("Sigmoid", x))

    def reshape(self, x: str, *sizes: int) -> str:
        return self.add("Reshape", x, self.constant(sizes, np.int64))

    def model(self, *outputs: str) -> Any:
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, ends, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.version)], ir_version=8)

    def save(self, path: Path, *outputs: str) -> Path:
        onnx.save(self.model(*outputs), path)
        return path


def detector(path: Path) -> tuple[Path, list[str]]:
    """Write a small network shaped like YOLOv8; return its path and the tensors that its head's convolutions make."""
    make = Builder((1, 3, 32, 32))
    x = make.swish(make.conv("images", 3, 16, strides=[2, 2]))
    y = make.swish(make.conv(x, 16, 16, 1))
    one, two = make.add("Split", y, make.constant([8, 8], np.int64), outputs=2, axis=1)
    more = make.swish(make.conv(two, 8, 8))
    p3 = make.swish(make.conv(make.add("Concat", one, two, more, axis=1), 24, 16, 1))
    p4 = make.swish(make.conv(p3, 16, 16, strides=[2, 2]))
    up = make.add("Resize", p4, "", make.constant([1, 1, 2, 2]), mode="nearest", nearest_mode="floor",
                  coordinate_transformation_mode="asymmetric")  # fmt: skip
    p3 = make.swish(make.conv(make.add("Concat", up, p3, axis=1), 32, 16, 1))
    heads, ends = [], []
    for level in (p3, p4):
        box, kind = make.conv(level, 16, 16, 1), make.conv(level, 16, 3, 1)
        ends += [box, kind]
        heads.append(make.reshape(make.add("Concat", box, kind, axis=1), 1, 19, -1))
    joined = make.add("Concat", *heads, axis=2)
    box, kind = make.add("Split", joined, make.constant([16, 3], np.int64), outputs=2, axis=1)
    parts = make.add("Transpose", make.reshape(box, 1, 4, 4, 320), perm=[0, 2, 1, 3])
    weights = make.constant(np.arange(4).reshape(1, 4, 1, 1))
    sides = make.reshape(make.add("Conv", make.add("Softmax", parts, axis=1), weights, kernel_shape=[1, 1]), 1, 4, 320)
    anchors = make.constant(make.random.uniform(0, 16, (1, 4, 320)))
    boxes = make.add("Mul", make.add("Add", sides, anchors), make.constant(8.0))
    return make.save(path, make.add("Concat", boxes, make.add("Sigmoid", kind), axis=1)), ends
