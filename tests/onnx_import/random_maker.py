"""A random ONNX graph in the making, and the registries of the steps by which it grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Maker:
    """A graph that grows by random operations on tensors that are there."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.version = int(self.random.integers(7, 22))
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.ops: list[str] = []
        channels, height, width = (int(self.random.integers(low, high)) for low, high in ((1, 7), (5, 14), (5, 14)))
        self.batch = int(self.random.choice([1, 1, 1, 2]))
        self.shapes["x"] = (self.batch, channels, height, width)

    def pick(self, *values: Any) -> Any:
        return values[int(self.random.integers(len(values)))]

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def normal(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, 0.7, shape))

    def node(self, op: str, inputs: list[str], outputs: int = 1, **attrs: Any) -> list[str]:
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        given = {key: value for key, value in attrs.items() if value is not None}
        name = self.pick("", f"/block/{op}", f"{op}:0")
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **given))
        self.ops.append(op)
        return names

    def model(self, outputs: list[str]) -> Any:
        first = [self.pick("N", self.batch) if self.batch == 1 else self.batch, *self.shapes["x"][1:]]
        infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, first)]
        ends = [onnx.ValueInfoProto(name=name) for name in outputs]
        for end in ends:
            end.type.tensor_type.elem_type = TensorProto.FLOAT
        graph = helper.make_graph(self.nodes, "random", infos, ends, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.version)], ir_version=8)


Step = Callable[[Maker, str], list[str] | None]
IMAGE_STEPS: list[Step] = []
ANY_STEPS: list[Step] = []


def image_step(function: Step) -> Step:
    IMAGE_STEPS.append(function)
    return function


def any_step(function: Step) -> Step:
    ANY_STEPS.append(function)
    return function
