"""The graph as a Keras model: node after node, each by its own function."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import import_internal, keras, tf
from softdpu.onnx_import.load import in_one_line
from softdpu.onnx_import.names import Names
from softdpu.onnx_import.onnx_graph import Graph, Node, Shape
from softdpu.onnx_import.patterns import Finder
from softdpu.onnx_import.registry import OPERATIONS, Refused
from softdpu.onnx_import.value import NHWC, Value, image_order

_tf_op_layer = import_internal("layers.core.tf_op_layer")
_NO_REASON = "is not known to the importer"


class Lowering:
    """What the functions of operations build with: `values` by the names of their tensors."""

    def __init__(self, graph: Graph, path: Path) -> None:
        self.graph, self.path = graph, path
        self.finder = Finder(graph)
        self.names = Names()
        self.values: dict[str, Value] = {}
        self.weights: list[tuple[Any, list[np.ndarray]]] = []
        self.affine: dict[str, Any] = {}  # layers that scale and shift, by the name of the ONNX tensor they make

    def run(self) -> tuple[Any, list[Value], list[Value]]:
        """Return the Keras model, and its inputs and outputs as values.

        Raises:
            SoftdpuError: naming every node that cannot be imported.
        """
        refused: dict[str, list[str]] = {}
        inputs = [self._input(name) for name in self.graph.inputs]
        for node in self.graph.nodes:
            try:
                with in_one_line(self.path, node):
                    self._node(node)
            except Refused as error:
                refused.setdefault(f"{node.op} {error}", []).append(node.name)
                self._stand_in(node)
        if refused:
            raise SoftdpuError(self._refusal(refused))
        outputs = [self._output(self.values[name]) for name in self.graph.outputs]
        model = keras.Model([value.tensor for value in inputs], [value.tensor for value in outputs], name=self._name())
        for layer, weights in self.weights:
            layer.set_weights(weights)
        self.weights.clear()
        return model, inputs, outputs

    def _name(self) -> str:
        return Names().unique(self.path.stem)

    def _refusal(self, refused: dict[str, list[str]]) -> str:
        parts = [f"{text} (node {', '.join(names)})" for text, names in refused.items()]
        count = sum(len(names) for names in refused.values())
        return (
            f"{self.path}: {count} operation{'s' * (count > 1)} cannot be imported: {'; '.join(parts)}. End the network"
            f" before them with outputs: `softdpu import {self.path} --list` suggests where"
        )

    def _node(self, node: Node) -> None:
        entry = OPERATIONS.get(node.op)
        if entry is None:
            raise Refused(_NO_REASON)
        missing = [
            name for name in node.inputs if name and name not in self.values and name not in self.graph.constants
        ]
        if missing:
            return  # an operation before it was refused, and is named
        result = entry.function(self, node)
        for name, value in zip(node.outputs, [result] if isinstance(result, Value) else result, strict=False):
            if name:
                self.values[name] = value

    def _stand_in(self, node: Node) -> None:
        """Give what a refused node makes a value, so that the nodes behind it are looked at too."""
        for name in node.outputs:
            shape = self.graph.shapes.get(name)
            if name and shape:
                order = image_order(len(shape))
                self.values[name] = Value(keras.Input([shape[axis] for axis in order[1:]]), shape, order)

    def _input(self, name: str) -> Value:
        shape = self.graph.shapes[name]
        order = self._input_order(name, shape)
        sizes = [shape[axis] for axis in order[1:]]
        value = Value(keras.Input(sizes, name=self.names.unique(name)), shape, order)
        self.values[name] = value
        return value

    def _input_order(self, name: str, shape: Shape) -> tuple[int, ...]:
        """Return the order of an input: images become NHWC, unless the file has them so."""
        if len(shape) != 4:
            return tuple(range(len(shape)))
        readers = self.finder.readers.get(name, [])
        turned = bool(readers) and all(list(node.attrs.get("perm", [])) == [0, 3, 1, 2] for node in readers)
        last = shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4)
        return (0, 1, 2, 3) if turned or last else NHWC

    def _output(self, value: Value) -> Value:
        """Return an output as the Keras model gives it: images NHWC, everything else as the file has it."""
        value = self.plain(value)
        if value.rank == 4 and value.order in (NHWC, (0, 1, 2, 3)):
            return value
        if value.order[0] != 0:
            return value  # the batch is in the middle; Keras has it first
        return self.reorder(value, NHWC if value.rank == 4 else tuple(range(value.rank)), "output")

    # What the functions of operations call.

    def value(self, node: Node, index: int) -> Value:
        """Return an input that is computed."""
        name = node.input(index)
        if name not in self.values:
            raise Refused(f"has a constant or nothing as input {index}, where the network's own numbers are expected")
        return self.values[name]

    def constant(self, node: Node, index: int) -> np.ndarray | None:
        """Return an input that is constant; None if it is left out or computed."""
        return self.graph.constants.get(node.input(index))

    def need_constant(self, node: Node, index: int, what: str) -> np.ndarray:
        """Return an input that must be constant."""
        value = self.constant(node, index)
        if value is None:
            raise Refused(f"has {what} that are computed, not constant")
        return value

    def shape(self, node: Node, index: int = 0) -> Shape:
        """Return the shape of an output."""
        shape = self.graph.shapes.get(node.outputs[index])
        if shape is None:
            raise Refused("makes a tensor whose shape depends on the image")
        return shape

    def name(self, node: Node, suffix: str = "") -> str:
        """Return a layer's name for a node."""
        return self.names.unique(node.name + (f"_{suffix}" if suffix else ""))

    def layer(
        self,
        node: Node,
        kind: str,
        tensors: Any,
        suffix: str = "",
        weights: list[np.ndarray] | None = None,
        **config: Any,
    ) -> Any:
        """Return what a new Keras layer makes of `tensors`."""
        layer = getattr(keras.layers, kind)(name=self.name(node, suffix), **config)
        tensor = layer(tensors)
        if weights is not None:
            self.weights.append((layer, [np.asarray(weight, np.float32) for weight in weights]))
        return tensor

    def function(self, node: Node, function: Any, *arguments: Any, suffix: str = "", **options: Any) -> Any:
        """Return what a TensorFlow function makes of tensors and constants."""
        plain = [item.tolist() if isinstance(item, (np.ndarray, np.generic)) else item for item in arguments]
        return _tf_op_layer.TFOpLambda(function, name=self.name(node, suffix))(*plain, **options)

    def slices(self, node: Node, tensor: Any, spec: list[slice], suffix: str = "") -> Any:
        """Return a part of a tensor."""
        layer = _tf_op_layer.SlicingOpLambda(tf.__operators__.getitem, name=self.name(node, suffix))
        parts = tuple({"start": one.start, "stop": one.stop, "step": one.step} for one in spec)  # as Keras stores them
        return layer(tensor, slice_spec=parts)

    def plain(self, value: Value) -> Value:
        """Return a value whose numbers are in the file's order."""
        if value.mixed is None:
            return value
        raise Refused("reads a flattened image in an order that only a matrix product can undo")

    def reorder(self, value: Value, order: tuple[int, ...], suffix: str, node: Node | None = None) -> Value:
        """Return a value with its axes in another order; numbers are moved only if an axis longer than 1 moves."""
        value = self.plain(value)
        if value.order == order:
            return value
        if value.order[0] != order[0]:
            raise Refused("moves the images of a batch to another axis")
        places = [value.order.index(axis) for axis in order]
        name = self.names.unique(f"{node.name}_{suffix}" if node else f"permute_{suffix}")
        long = [place for place in places[1:] if value.keras_shape[place] != 1]
        if long == sorted(long):
            tensor = keras.layers.Reshape([value.shape[axis] for axis in order[1:]], name=name)(value.tensor)
        else:
            tensor = keras.layers.Permute(places[1:], name=name)(value.tensor)
        return dataclasses.replace(value, tensor=tensor, order=order)

    def image(self, node: Node, index: int = 0) -> Value:
        """Return an input as NHWC."""
        value = self.value(node, index)
        if value.rank != 4:
            raise Refused(
                f"has an input of {value.rank} dimensions; images (batch, channels, height, width) are expected"
            )
        return self.reorder(value, NHWC, "nhwc", node)
