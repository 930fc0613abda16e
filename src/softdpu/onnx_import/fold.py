"""From the file's protobuf to `Graph`: constants are computed, shapes worked out, node after node."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.onnx_import.load import array, in_one_line, opset, require_onnx
from softdpu.onnx_import.onnx_graph import Graph, Node, Shape, all_inputs, check_names, select_needed

_LOOPS = ("Loop", "Scan")
_QUANTIZED = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QGemm", "QLinearAdd")
_NEUTRAL = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0}
_RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
# Numbers that all computed constants may have, and how many more for each that is in the file: a few bytes can ask for
# terabytes, but standardized weights are computed in a dozen steps of their own size.
_MOST_MADE, _MOST_PER_NUMBER = 1 << 26, 16
_LONGEST = 1 << 24  # of a tensor's axes: places along one are counted one by one
_SMALL = 4096  # a constant of so many numbers may be a shape, which inference needs
_ADVICE_SIZE = "give --input-size HEIGHTxWIDTH (model.input_size)"


def read_graph(path: Path, model: Any, outputs: list[str] | None, size: tuple[int, int] | None) -> Graph:
    """Return the graph of a ModelProto.

    Args:
        path: of the file, for messages.
        model: what load.load gives.
        outputs: names of the tensors where the network ends; None for the file's own.
        size: height and width of inputs that leave them open.

    Raises:
        SoftdpuError: if an output is not there, a size is open, or there are loops.
    """
    return _Reader(path, model, size).read(outputs)


class _Reader:
    def __init__(self, path: Path, model: Any, size: tuple[int, int] | None) -> None:
        self.onnx = require_onnx()
        self.path, self.model, self.size = path, model, size
        self.version = opset(model)
        self.notes: list[str] = []
        self.constants: dict[str, np.ndarray] = {}
        self.shapes: dict[str, Shape] = {}
        self.types: dict[str, int] = {}
        self.kept: list[Node] = []
        self.renamed: dict[str, str] = {}
        self.made, self.most_made = 0, _MOST_MADE

    def read(self, outputs: list[str] | None) -> Graph:
        graph = self.model.graph
        self._constants(graph)
        nodes = [_node(proto, index, self.version) for index, proto in enumerate(graph.node)]
        inputs = [value for value in graph.input if value.name not in self.constants]
        wanted = list(outputs) if outputs else [value.name for value in graph.output]
        known = [name for node in nodes for name in node.outputs if name] + [value.name for value in inputs]
        check_names(self.path, wanted, [*known, *self.constants])
        live = {name for node in select_needed(nodes, wanted) for name in node.outputs}
        used = {name for node in select_needed(nodes, wanted) for name in all_inputs(node)} | set(wanted)
        inputs = [value for value in inputs if value.name in used]
        batch = self._inputs(inputs)
        for node in nodes:
            if live.intersection(node.outputs):
                with in_one_line(self.path, node):
                    self._visit(node)
        self._refuse_long()
        made = Graph(
            self.kept,
            self.constants,
            self.shapes,
            [value.name for value in inputs],
            [self.renamed.get(name, name) for name in wanted],
            wanted,
            batch,
            self.notes,
        )
        made.prune()
        for name in made.outputs:
            if name in made.constants:
                raise SoftdpuError(f"{self.path}: output {name} is constant; name another (outputs)")
        return made

    def _refuse_long(self) -> None:
        for name, shape in self.shapes.items():
            if max(shape, default=0) > _LONGEST:
                raise SoftdpuError(
                    f"{self.path}: tensor {name} has the sizes {'x'.join(map(str, shape))}; no axis may be longer than"
                    f" {_LONGEST}: export the network for the images that it is for"
                )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _constants(self, graph: Any) -> None:
        for tensor in graph.initializer:
            self._set(tensor.name, array(self.path, tensor))
            self.most_made += _MOST_PER_NUMBER * self.constants[tensor.name].size
            tensor.ClearField("raw_data")  # the array has it now
            tensor.ClearField("float_data")

    def _set(self, name: str, value: np.ndarray) -> None:
        """Keep a constant; every kind of real number becomes float32."""
        if value.dtype.kind not in "iubSUO" and value.dtype != np.float32:
            if value.dtype.itemsize == 2:
                self._note("its float16 numbers were converted to float32")
            value = value.astype(np.float32)
        self.constants[name] = value
        self.shapes[name] = tuple(value.shape)
        self.types[name] = self.onnx.helper.np_dtype_to_tensor_dtype(value.dtype)

    def _inputs(self, inputs: list[Any]) -> int:
        batches: list[int] = []
        for value in inputs:
            tensor = value.type.tensor_type
            if not value.type.HasField("tensor_type") or not tensor.HasField("shape"):
                raise SoftdpuError(f"{self.path}: input {value.name} has no shape; export it with an example input")
            sizes = [axis.dim_value if axis.dim_value > 0 else None for axis in tensor.shape.dim]  # open: none, 0 or -1
            named = [axis.dim_param or "?" for axis in tensor.shape.dim]
            self.shapes[value.name] = self._input_shape(value.name, sizes, named)
            batches.append(self.shapes[value.name][0] if sizes else 1)
            if tensor.elem_type == self.onnx.TensorProto.FLOAT16:
                self._note("its float16 numbers were converted to float32")
            real = tensor.elem_type in (1, 10, 11, 16)
            self.types[value.name] = self.onnx.TensorProto.FLOAT if real else tensor.elem_type
        if len(set(batches)) > 1:
            raise SoftdpuError(f"{self.path}: its inputs have batches of {sorted(set(batches))}; export it with one")
        return batches[0] if batches else 1

    def _input_shape(self, name: str, sizes: list[int | None], named: list[str]) -> Shape:
        shape = [1 if index == 0 and not size else size for index, size in enumerate(sizes)]
        opened = [index for index, size in enumerate(shape) if not size]
        if len(shape) == 4 and opened:
            rows = 1 if sizes[3] in (1, 3, 4) and sizes[1] not in (1, 3, 4) else 2
            if self.size and set(opened) <= {rows, rows + 1}:
                for index in opened:
                    shape[index] = self.size[index - rows]
                opened = []
        if opened:
            shown = ", ".join(str(size or text) for size, text in zip(sizes, named, strict=True))
            raise SoftdpuError(f"{self.path}: input {name} has open sizes ({shown}); {_ADVICE_SIZE}")
        return tuple(int(size) for size in shape if size is not None)

    def _visit(self, node: Node) -> None:
        node.inputs = [self.renamed.get(name, name) for name in node.inputs]
        if node.op in _LOOPS:
            raise SoftdpuError(
                f"{self.path}: node {node.name} is a {node.op}; a DPU runs no loops: export the network without it, or"
                " end it before (outputs)"
            )
        if node.op in _QUANTIZED:
            raise SoftdpuError(
                f"{self.path}: node {node.name} is {node.op}: the file is quantized already; give the float model"
            )
        if node.op == "If":
            self._branch(node)
            return
        if self._skip(node):
            return
        if all(name in self.constants for name in node.inputs if name) and node.op not in _RANDOM:
            self._compute(node)
            return
        if node.op in ("Shape", "Size") and node.inputs[0] in self.shapes:
            shape = self.shapes[node.inputs[0]]
            cut = slice(node.attrs.get("start", 0), node.attrs.get("end"))
            value = shape[cut] if node.op == "Shape" else int(np.prod(shape))
            self._set(node.outputs[0], np.array(value, np.int64))
            return
        self._infer(node)
        self.kept.append(node)

    def _skip(self, node: Node) -> bool:
        """Pass a node by that changes no number here; quantizers of a file that was quantized by QDQ go too."""
        source = node.inputs[0] if node.inputs else ""
        same = node.op in ("Identity", "Dropout") or (node.op == "Cast" and node.attrs.get("to") in (1, 10, 11, 16))
        if node.op in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"):
            self._note("its int8 quantization (QuantizeLinear, DequantizeLinear) was taken out: it is quantized anew")
            same = True
        if node.op == "BatchNormalization" and len([name for name in node.outputs if name]) > 1:
            node.outputs = node.outputs[:1]
        if node.op in _NEUTRAL and (kept := self._unchanged(node)):
            self.renamed[node.outputs[0]] = kept
            return True
        if not same or source in self.constants or self.types.get(source, 1) != 1:
            return False
        self.renamed[node.outputs[0]] = source
        return True

    def _unchanged(self, node: Node) -> str:
        """Return the tensor that arithmetic with a constant 1 or 0 passes on, as Paddle's swish has it; "" if none."""
        for place, name in enumerate(node.inputs[:2]):
            constant, other = self.constants.get(name), node.inputs[1 - place]
            if constant is None or constant.size != 1 or (place == 0 and node.op not in ("Add", "Mul")):
                continue
            if other in self.shapes and self.types[other] == 1 and constant.ndim <= len(self.shapes[other]):
                return other if float(constant.reshape(-1)[0]) == _NEUTRAL[node.op] else ""
        return ""

    def _branch(self, node: Node) -> None:
        """Put the branch of an If whose condition is known in the If's place."""
        if node.inputs[0] not in self.constants:
            raise SoftdpuError(
                f"{self.path}: node {node.name} is an If that depends on the image; a DPU runs no branches: end the"
                " network before it (outputs)"
            )
        chosen = node.attrs["then_branch" if bool(self.constants[node.inputs[0]].item()) else "else_branch"]
        self._constants(chosen)
        for index, proto in enumerate(chosen.node):
            self._visit(_node(proto, index, self.version))
        for name, inner in zip(node.outputs, chosen.output, strict=True):
            source = self.renamed.get(inner.name, inner.name)
            if source in self.constants:
                self._set(name, self.constants[source])
            else:
                self.renamed[name] = source

    def _compute(self, node: Node) -> None:
        """Compute a node of constants."""
        self._refuse_large(node)
        if node.op == "ConstantOfShape":
            value = np.asarray(node.attrs.get("value", np.zeros(1, np.float32))).reshape(-1)[0]
            results = [np.full(tuple(self.constants[node.inputs[0]].tolist()), value)]
        elif node.op in ("QuantizeLinear", "DequantizeLinear"):
            results = [_dequantize(node, *(self.constants[name] for name in node.inputs if name))]
        elif node.op == "Constant" and isinstance(node.attrs.get("value"), np.ndarray):
            results = [node.attrs["value"]]
        else:
            results = self._evaluate(node)
        for name, result in zip(node.outputs, results, strict=False):
            if name:
                self._set(name, np.asarray(result))

    def _refuse_large(self, node: Node) -> None:
        """Look at the sizes of what a node will make, before it is made."""
        if node.op == "ConstantOfShape":
            sizes = [tuple(self.constants[node.inputs[0]].reshape(-1).tolist())]
        else:
            self._infer(node)
            sizes = [self.shapes[name] for name in node.outputs if name in self.shapes]
        self.made += sum(math.prod(map(int, shape)) for shape in sizes)
        if self.made > self.most_made:
            raise SoftdpuError(
                f"{self.path}: node {node.name}, {node.op}, makes constants of {self.made} numbers; more than"
                f" {self.most_made} are not computed: end the network before it (outputs)"
            )

    def _evaluate(self, node: Node) -> list[Any]:
        from onnx.reference import ReferenceEvaluator

        helper = self.onnx.helper
        names = sorted({name for name in node.inputs if name})
        infos = [helper.make_tensor_value_info(name, self.types[name], self.shapes[name]) for name in names]
        ends = [self.onnx.ValueInfoProto(name=name) for name in node.outputs if name]
        graph = helper.make_graph([self._proto(node)], "constant", infos, ends)
        model = helper.make_model(graph, opset_imports=self._opsets())
        try:
            return list(ReferenceEvaluator(model).run(None, {name: self.constants[name] for name in names}))
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise SoftdpuError(f"{self.path}: node {node.name}, {node.op}, cannot be computed: {text}") from None

    def _opsets(self) -> list[Any]:
        return list(self.model.opset_import)

    def _proto(self, node: Node) -> Any:
        """Return a node as onnx has it, its float types all float32."""
        domain, _, op = node.op.rpartition("::")
        proto = self.onnx.helper.make_node(op, node.inputs, node.outputs, name=node.name, domain=domain)
        for key, value in node.attrs.items():
            if node.op == "Cast" and key == "to" and value in (10, 11, 16):
                value = 1
            if isinstance(value, np.ndarray):
                value = self.onnx.numpy_helper.from_array(value)
            proto.attribute.append(self.onnx.helper.make_attribute(key, value))
        return proto

    def _infer(self, node: Node) -> None:
        """Work out types and shapes of what a node makes, where they can be known."""
        import onnx.defs
        import onnx.shape_inference

        domain, _, op = node.op.rpartition("::")
        for name in node.outputs:
            self.types.setdefault(name, 1)
        known = [name for name in node.inputs if name in self.shapes]
        make = self.onnx.helper.make_tensor_type_proto
        types = {name: make(self.types[name], self.shapes[name]) for name in known}
        data = {
            name: self.onnx.numpy_helper.from_array(self.constants[name], name)
            for name in known
            if name in self.constants and self.constants[name].size <= _SMALL and self.constants[name].dtype != object
        }
        try:
            schema = onnx.defs.get_schema(op, self.version, domain)
            found = onnx.shape_inference.infer_node_outputs(
                schema, self._proto(node), types, data, opset_imports=self._opsets()
            )
        except Exception:  # an operation that onnx does not know: the lowering names it, if it is needed
            return
        for name, kind in found.items():
            sizes = [axis.dim_value if axis.HasField("dim_value") else -1 for axis in kind.tensor_type.shape.dim]
            self.types[name] = kind.tensor_type.elem_type or 1
            if kind.tensor_type.HasField("shape") and min(sizes, default=0) >= 0:
                self.shapes[name] = tuple(sizes)
        if node.attrs.get("ceil_mode") and node.outputs[0] in self.shapes:
            source = self.shapes[node.inputs[0]]
            self.shapes[node.outputs[0]] = _drop_empty_windows(node, source, self.shapes[node.outputs[0]])


def _dequantize(node: Node, value: np.ndarray, scale: np.ndarray, zero: np.ndarray | int = 0) -> np.ndarray:
    """Return the real numbers of an integer weight; those of a real one are left as they are."""
    if value.dtype.kind == "f":
        return value
    axis = int(node.attrs.get("axis", 1))
    spread = [-1 if index == axis % value.ndim else 1 for index in range(value.ndim)] if scale.size > 1 else []
    zero = np.asarray(zero, np.float32)
    zero = zero.reshape(spread) if zero.size > 1 else zero.reshape([])
    return (value.astype(np.float32) - zero) * scale.reshape(spread)


def _drop_empty_windows(node: Node, source: Shape, out: Shape) -> Shape:
    """Return what pooling with ceil_mode makes: no last window begins behind the image, as frameworks have it."""
    count = len(source) - 2
    strides, pads = node.attrs.get("strides") or [1] * count, node.attrs.get("pads") or [0] * 2 * count
    sizes = zip(source[2:], out[2:], strides, pads[:count], strict=True)
    ends = [made - int((made - 1) * stride >= size + before) for size, made, stride, before in sizes]
    return (*out[:2], *ends)


def _node(proto: Any, index: int, version: int) -> Node:
    onnx = require_onnx()
    attrs: dict[str, Any] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = np.asarray(onnx.numpy_helper.to_array(value))
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        attrs[attribute.name] = list(value) if attribute.type in (6, 7, 8) else value
    op = f"{proto.domain}::{proto.op_type}" if proto.domain not in ("", "ai.onnx") else proto.op_type
    name = proto.name or next((name for name in proto.output if name), f"{proto.op_type}_{index}")
    return Node(op, name, list(proto.input), list(proto.output), attrs, version)
