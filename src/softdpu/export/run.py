"""Running an exported file: ONNX in onnxruntime, .tflite in LiteRT, both from real images to real outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.output.quiet import silence_notices

NO_ONNX = "needs the packages onnx and onnxruntime: pip install 'softdpu[onnx]'"


class Runner(Protocol):
    """A loaded file."""

    shapes: list[tuple[int, ...]]  # of one image of each input, in the DPU's order of axes

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the real outputs, float32, of real inputs, float32[images, ...], both in the DPU's order of axes."""


def open_runner(path: Path) -> Runner:
    """Load an exported file by its suffix.

    Raises:
        SoftdpuError: it is missing, of another kind, or cannot be loaded.
    """
    if not path.is_file():
        raise SoftdpuError(f"there is no file {path}; export it first")
    if path.suffix not in (".onnx", ".tflite"):
        raise SoftdpuError(f"{path}: expected an .onnx or a .tflite")
    return OnnxRunner(path) if path.suffix == ".onnx" else TfliteRunner(path)


class OnnxRunner:
    """A QDQ ONNX file in onnxruntime on the CPU, optimized as by default, but with exact sums on every CPU."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Load a file; what other tools wrote is taken as NCHW unless its last axis has 1 to 4 channels."""
        try:
            import onnxruntime
        except ImportError:
            raise SoftdpuError(f"running {path} {NO_ONNX}") from None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # Without it two products of uint8 and int8 are added in 16 bits and saturate on x86 CPUs with AVX2 but no VNNI.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own kinds are not public
            raise SoftdpuError(f"{path} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}") from None
        self._inputs = self._session.get_inputs()
        known = self._session.get_modelmeta().custom_metadata_map.get("softdpu.layout")
        self._nchw = known == "nchw" if known else all(i.shape[-1] not in (1, 2, 3, 4) for i in self._inputs)
        self.shapes = [self._own(tuple(entry.shape))[1:] for entry in self._inputs]

    def _own(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (shape[0], shape[2], shape[3], shape[1]) if self._nchw and len(shape) == 4 else shape

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See Runner; a file with a fixed batch gets it, filled up with zeros."""
        batch, count = self._inputs[0].shape[0], len(inputs[0])
        size = batch if isinstance(batch, int) else count
        parts = []
        for start in range(0, count, size):
            some = [fill(array[start : start + size], size) for array in inputs]
            feed = {entry.name: self._turn(array) for entry, array in zip(self._inputs, some, strict=True)}
            parts.append([self._turn_back(array) for array in self._session.run(None, feed)])
        return [np.concatenate(column)[:count] for column in zip(*parts, strict=True)]

    def _turn(self, array: np.ndarray) -> np.ndarray:
        array = array.astype(np.float32, copy=False)
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2)) if self._nchw and array.ndim == 4 else array

    def _turn_back(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(0, 2, 3, 1) if self._nchw and array.ndim == 4 else array


class TfliteRunner:
    """A .tflite in LiteRT with its usual kernels (XNNPACK)."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with silence_notices():
                self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise SoftdpuError(f"{path} cannot be loaded by LiteRT: {str(error).splitlines()[0]}") from None
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self.shapes = [tuple(int(size) for size in entry["shape"][1:]) for entry in self._inputs]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """See Runner; images are quantized half up, as on the DPU."""
        size, count = int(self._inputs[0]["shape"][0]), len(inputs[0])
        parts = []
        for start in range(0, count, size):
            for entry, array in zip(self._inputs, inputs, strict=True):
                some = fill(array[start : start + size], size)
                self._interpreter.set_tensor(entry["index"], _quantize(some, entry))
            self._interpreter.invoke()
            parts.append([_dequantize(self._interpreter.get_tensor(entry["index"]), entry) for entry in self._outputs])
        return [np.concatenate(column)[:count] for column in zip(*parts, strict=True)]


def fill(array: np.ndarray, size: int) -> np.ndarray:
    """Return an array with zeros behind it up to a batch of `size`."""
    if len(array) == size:
        return array
    return np.concatenate([array, np.zeros((size - len(array), *array.shape[1:]), array.dtype)])


def _quantize(array: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    scale, zero = entry["quantization"]
    if not scale:
        return array.astype(entry["dtype"])
    numbers = fixed_point.quantize(array, round(-np.log2(scale)), fixed_point.HALF_UP).astype(np.int32)
    return (numbers + zero).astype(entry["dtype"])


def _dequantize(array: np.ndarray, entry: dict[str, Any]) -> np.ndarray:
    scale, zero = entry["quantization"]
    return np.asarray((array.astype(np.float32) - zero) * np.float32(scale)) if scale else array
