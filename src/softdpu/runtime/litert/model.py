"""A LiteRT model in the making: tensors and operators, written as one flatbuffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Operator = schema.BuiltinOperator

_TYPES = {
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
}


class ModelBuilder:
    """Collects one subgraph. Tensors and operators are numbered in the order of the calls."""

    def __init__(self) -> None:
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]  # buffer 0 is empty: the tensors that are computed
        self._operators: list[Any] = []
        self._codes: dict[int, int] = {}
        self._shared: dict[tuple[Any, ...], int] = {}

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        scale: float | np.ndarray | None = None,
        zero_point: int = 0,
        axis: int = 0,
    ) -> int:
        """Add a computed tensor and return its number.

        Args:
            shape: of the tensor.
            dtype: int8, uint8, int32 or float32.
            scale: of a quantized tensor, real = scale * (q - zero_point); an array gives one per channel of `axis`.
            zero_point: the same for every channel.
            axis: of the channels.
        """
        tensor = schema.TensorT()
        tensor.name = f"t{len(self._tensors)}"
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = _TYPES[np.dtype(dtype)]
        tensor.buffer = 0
        tensor.hasRank = True
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantization = schema.QuantizationParametersT()
            quantization.scale = scales
            quantization.zeroPoint = np.full(scales.shape, zero_point, np.int64)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, array: np.ndarray, scale: float | np.ndarray | None = None, axis: int = 0) -> int:
        """Add a constant tensor and return its number; equal small ones are shared."""
        array = np.ascontiguousarray(array)
        small = array.size <= 16 and not isinstance(scale, np.ndarray)
        key = (array.tobytes(), array.shape, array.dtype.str, scale) if small else ()
        if key and key in self._shared:
            return self._shared[key]
        number = self.tensor(array.shape, array.dtype, scale, axis=axis)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._tensors[number].buffer = len(self._buffers) - 1
        if key:
            self._shared[key] = number
        return number

    def operator(self, code: int, inputs: list[int], outputs: list[int], options: Any = None) -> None:
        """Add an operator; `options` is the schema's options object, whose class names its type."""
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self._operators.append(operator)

    def zero_point(self, number: int) -> int:
        """Return the zero point of a quantized tensor."""
        return int(self._tensors[number].quantization.zeroPoint[0])

    def mark(self) -> tuple[int, int, int]:
        """Return the state to come back to by `undo`."""
        return len(self._tensors), len(self._buffers), len(self._operators)

    def undo(self, mark: tuple[int, int, int]) -> None:
        """Forget what was added since `mark`."""
        tensors, buffers, operators = mark
        del self._tensors[tensors:], self._buffers[buffers:], self._operators[operators:]
        self._shared = {key: number for key, number in self._shared.items() if number < tensors}

    def name(self, number: int, name: str) -> None:
        """Name a tensor, for those who look into the file; without it a tensor is t and its number."""
        self._tensors[number].name = name

    def finish(self, inputs: list[int], outputs: list[int], facts: Mapping[str, str] | None = None) -> bytes:
        """Return the model as a flatbuffer, with `facts` as its metadata."""
        graph = schema.SubGraphT()
        graph.tensors = self._tensors
        graph.inputs = np.asarray(inputs, np.int32)
        graph.outputs = np.asarray(outputs, np.int32)
        graph.operators = self._operators
        graph.name = "main"
        model = schema.ModelT()
        model.version = 3
        model.operatorCodes = [_operator_code(code) for code in self._codes]
        model.subgraphs = [graph]
        model.metadata = [self._fact(name, text) for name, text in (facts or {}).items()] or None
        model.buffers = self._buffers
        size = sum(len(buffer.data) for buffer in self._buffers if buffer.data is not None)
        builder = flatbuffers.Builder(size + 65536)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _fact(self, name: str, text: str) -> Any:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(text.encode("utf-8"), np.uint8)
        self._buffers.append(buffer)
        entry = schema.MetadataT()
        entry.name, entry.buffer = name, len(self._buffers) - 1
        return entry


def _operator_code(code: int) -> Any:
    item = schema.OperatorCodeT()
    item.builtinCode = code
    item.deprecatedBuiltinCode = min(code, 127)
    item.version = _VERSIONS.get(code, 1)
    return item


# Versions of the operators that take int8 or the inputs used here; the runtime looks kernels up by them.
_VERSIONS = {
    Operator.CONV_2D: 5,
    Operator.DEPTHWISE_CONV_2D: 6,
    Operator.TRANSPOSE_CONV: 3,
    Operator.ADD: 2,
    Operator.MUL: 2,
    Operator.MAXIMUM: 2,
    Operator.MAX_POOL_2D: 2,
    Operator.CONCATENATION: 2,
    Operator.PAD: 2,
    Operator.PADV2: 2,
    Operator.MIRROR_PAD: 2,
    Operator.STRIDED_SLICE: 2,
    Operator.TRANSPOSE: 2,
    Operator.GATHER: 2,
    Operator.DEQUANTIZE: 2,
    Operator.QUANTIZE: 2,
    Operator.REDUCE_MAX: 2,
}


def option(name: str, **fields: Any) -> Any:
    """Return the schema's options object `name` with its fields set."""
    options = getattr(schema, name + "OptionsT")()
    for field, value in fields.items():
        if not hasattr(options, field):
            raise AttributeError(f"{name}Options has no field {field}")
        setattr(options, field, value)
    return options
