"""Proof of an exported file: it runs on golden vectors, and every number that is not the DPU's is explained.

ONNX's QuantizeLinear rounds half to even, the DPU half up. So each op of the file is also looked at by itself: given
the file's own inputs of that op, its numbers may differ from the DPU's on exact ties alone, by one step; what the DPU
leaves to float may lie a hair beside a tie. A .tflite must give the DPU's numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.export.run import NO_ONNX, fill, open_runner
from softdpu.export.source import is_integer
from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.runtime.program import Node, Program, Value
from softdpu.runtime.reference import run_node, run_program

TOLERANCE = 1e-6  # of outputs that are float on the DPU's host too, such as softmax
_TIE = 2.0**-10  # in steps: a float mean can come out this far beside the tie that it is

Vector = Mapping[str, np.ndarray]


@dataclass
class OpFinding:
    """What one op does with the file's own inputs."""

    op: str
    kind: str
    numbers: int
    different: int
    ties: int
    largest_step: int


@dataclass
class Finding:
    """What a file does on the vectors.

    Attributes:
        file, sha256, vectors: what was run, and on how many.
        outputs, different: numbers of all outputs, and how many are not the DPU's.
        op_numbers, op_different, ties, largest_step: summed over the ops, each with the file's own inputs; of an ONNX.
        fused: outputs that onnxruntime's fusions of ops change.
        ops: those that differ.
    """

    file: str
    sha256: str
    vectors: int
    outputs: int = 0
    different: int = 0
    op_numbers: int = 0
    op_different: int = 0
    ties: int = 0
    largest_step: int = 0
    fused: int = 0
    ops: list[OpFinding] = field(default_factory=list)

    @property
    def unexplained(self) -> int:
        """The number of differences that are no ties of a step: a defect."""
        if not self.op_numbers:
            return self.different
        # Fusions round some ties in another way; without ties they must change nothing.
        return self.op_different - self.ties + (0 if self.ties else self.fused)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return {**asdict(self), "unexplained": self.unexplained}

    def text(self) -> str:
        """Return one line."""
        found = f"{self.file}: {self.vectors} vectors, {self.different} of {self.outputs} outputs differ from the DPU's"
        if not self.op_numbers:
            return found
        if not self.op_different:
            return f"{found}; op by op {self.op_numbers} numbers are the DPU's, no tie among them differs"
        return (
            f"{found}; op by op {self.op_different} of {self.op_numbers} numbers differ, {self.ties} of them exact "
            f"ties (half to even instead of half up) or float sums beside one, by {self.largest_step} step at most; "
            "without --int8-bias there are no ties"
        )


def make_vectors(program: Program, count: int) -> list[Vector]:
    """Return int8 inputs: random, smooth, and of extremes only, always the same."""
    random = np.random.default_rng(0)
    found: list[Vector] = []
    for number in range(count):
        vector = {}
        for value in program.inputs:
            shape = (1, *value.shape[1:])
            if not is_integer(value):
                vector[value.key] = random.normal(0, 1, shape).astype(np.float32)
            elif number % 3 == 0:
                vector[value.key] = random.integers(-128, 128, shape).astype(np.int8)
            elif number % 3 == 1:
                vector[value.key] = np.clip(random.normal(0, 30, shape), -128, 127).astype(np.int8)
            else:
                vector[value.key] = random.choice(np.array([-128, 127], np.int8), shape)
        found.append(vector)
    return found


def read_golden_vectors(folder: Path, program: Program) -> list[Vector]:
    """Return the inputs of the vectors in a card's golden/.

    Raises:
        SoftdpuError: they are missing, broken or of another network.
    """
    try:
        entries = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
        shape = tuple(entries["input"])
        if any(Path(entry["input"]).name != entry["input"] for entry in entries["vectors"]):
            raise ValueError("a name outside the folder")
        arrays = [np.fromfile(folder / entry["input"], np.int8).reshape(1, *shape) for entry in entries["vectors"]]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SoftdpuError(
            f"{folder}: expected a card's golden/ with golden.json ({error}); package it again"
        ) from None
    if len(program.inputs) != 1 or program.inputs[0].shape[1:] != shape or not arrays:
        raise SoftdpuError(f"{folder} holds vectors of shape {list(shape)}, the network takes {_shapes(program)}")
    return [{program.inputs[0].key: array} for array in arrays]


def _shapes(program: Program) -> str:
    return ", ".join(str(list(value.shape[1:])) for value in program.inputs)


def check_file(path: Path, program: Program, vectors: Sequence[Vector], qdq: Any = None) -> Finding:
    """Run an exported file on vectors and compare its outputs with the DPU's.

    Args:
        path: the file.
        program: the network, one image a run.
        vectors: by key of the program's inputs, int8[1, ...].
        qdq: the QdqModel that the ONNX file was written from, whose ops are then looked at one by one.
    """
    runner = open_runner(path)
    finding = Finding(path.name, files.sha256(path), len(vectors))
    ops: dict[str, OpFinding] = {}
    session = _open_with_all_numbers(path, qdq) if qdq is not None else None
    for vector in vectors:
        expected = run_program(program, vector)
        inputs = [dequantize(vector[value.key], value) for value in program.inputs]
        outputs = runner.run(inputs)
        for value, found in zip(program.outputs, outputs, strict=True):
            finding.outputs += found.size
            finding.different += _count_different(program, value, expected[value.key], found)
        if session is not None:
            slow = _look_at_ops(ops, qdq, session, inputs, vector)
            for value, found, plain in zip(program.outputs, outputs, slow, strict=True):
                finding.fused += _count_different(program, value, plain, found)
    finding.ops = [op for op in ops.values() if op.different]
    for op in ops.values():
        finding.op_numbers += op.numbers
        finding.op_different += op.different
        finding.ties += op.ties
        finding.largest_step = max(finding.largest_step, op.largest_step)
    return finding


def refuse_unexplained(finding: Finding) -> None:
    """Raise SoftdpuError where a number differs for another reason than the rounding of a tie."""
    if not finding.unexplained:
        return
    if not finding.op_numbers:
        raise SoftdpuError(
            f"{finding.file}: {finding.different} of {finding.outputs} outputs are not the DPU's: "
            "these LiteRT kernels round differently (XNNPACK is needed), or a convolution reads floats (behind "
            "hard_sigmoid, tanh, ...), whose sums have no one order"
        )
    if finding.fused and not finding.ties:
        raise SoftdpuError(
            f"{finding.file}: onnxruntime's fusions change {finding.fused} of {finding.outputs} outputs on this machine"
        )
    worst = max(finding.ops, key=lambda op: op.different - op.ties)
    raise SoftdpuError(
        f"{finding.file}: op '{worst.op}' ({worst.kind}) gives {worst.different - worst.ties} numbers that are neither "
        "the DPU's nor ties"
    )


def dequantize(array: np.ndarray, value: Value) -> np.ndarray:
    """Return the real numbers of an input."""
    return fixed_point.dequantize(array, value.position) if is_integer(value) else array


def _count_different(program: Program, value: Value, expected: np.ndarray, found: np.ndarray) -> int:
    """Return how many numbers of an output differ; those behind a fix2float must be equal."""
    node = next((node for node in program.nodes if node.key == value.key), None)
    exact = is_integer(value) or (node is not None and node.kind == "fix2float")
    wanted = dequantize(expected, value) if expected.dtype == np.int8 else expected
    distance = np.abs(found.reshape(wanted.shape) - wanted)
    return int((distance > (0 if exact else TOLERANCE)).sum())


def _open_with_all_numbers(path: Path, qdq: Any) -> Any:
    """Return a session of the file that also yields every tensor before its QuantizeLinear, computed op by op."""
    try:
        import onnx
        import onnxruntime
    except ImportError:
        raise SoftdpuError(f"checking an ONNX file {NO_ONNX}") from None
    proto = onnx.load(path)
    given = {entry.name for entry in proto.graph.output} | {entry.name for entry in proto.graph.input}
    wanted = {place.tensor for place in qdq.places.values()}
    wanted |= {tensor for place in qdq.places.values() for tensor, _ in place.earlier}
    names = sorted(wanted - given)
    proto.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _look_at_ops(
    ops: dict[str, OpFinding], qdq: Any, session: Any, inputs: list[np.ndarray], vector: Vector
) -> list[np.ndarray]:
    """Compare each int8 op of the file with the DPU's, given the file's own int8 inputs of that op.

    Returns:
        The file's outputs, computed op by op, in the DPU's order of axes.
    """
    program: Program = qdq.program
    nchw = any(prop.key == "softdpu.layout" and prop.value == "nchw" for prop in qdq.proto.metadata_props)
    batch = session.get_inputs()[0].shape[0]
    feed = {
        value.name: array.transpose(0, 3, 1, 2) if nchw and array.ndim == 4 else array
        for value, array in zip(program.inputs, inputs, strict=True)
    }
    if isinstance(batch, int):
        feed = {name: fill(array, batch) for name, array in feed.items()}
    names = [entry.name for entry in session.get_outputs()]
    tensors = {name: array[:1] for name, array in zip(names, session.run(None, feed), strict=True)}
    tensors.update(feed)
    values: dict[str, np.ndarray] = {**program.constants, **vector}
    for node in program.nodes:
        wanted = run_node(node, values)
        place = qdq.places.get(node.key)
        if place is None:  # float, or the same tensor under another name
            values[node.key] = wanted
            continue
        steps = _steps(tensors[place.tensor], place.layout, node.output.position, wanted)
        found = fixed_point.quantize(steps, 0, fixed_point.HALF_TO_EVEN)
        roundings = [
            steps,
            *_before_concat(node, values),
            *(_steps(tensors[name], place.layout, at, wanted) for name, at in place.earlier),
        ]
        _note(ops, node, wanted, found, np.any([_is_tie(array) for array in roundings], axis=0))
        values[node.key] = found
    outputs = [tensors[value.name] for value in program.outputs]
    return [array.transpose(0, 2, 3, 1) if nchw and array.ndim == 4 else array for array in outputs]


def _before_concat(node: Node, values: Vector) -> list[np.ndarray]:
    """Return what a concat joins in steps of its output's position: an input at another one is rounded before."""
    if not node.kind.startswith("concat") or any(value.fix_point is None for value in node.inputs["input"]):
        return []
    to = node.output.position
    parts = [np.ldexp(values[v.key].astype(np.float64), to - v.position) for v in node.inputs["input"]]
    return [np.concatenate(parts, axis=int(node.attr("axis")))]


def _steps(tensor: np.ndarray, layout: str, position: int, like: np.ndarray) -> np.ndarray:
    """Return a tensor of the file in steps of a position, in the DPU's order of axes."""
    turned = tensor.transpose(0, 2, 3, 1) if layout == "nchw" else tensor
    return np.asarray(np.ldexp(turned.reshape(like.shape).astype(np.float64), position))


def _is_tie(steps: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(steps - np.floor(steps) - 0.5) <= _TIE)


def _note(ops: dict[str, OpFinding], node: Node, wanted: np.ndarray, found: np.ndarray, tie: np.ndarray) -> None:
    """Count what an op gives beside the DPU's numbers; behind a product (HSWISH) a step may have become several."""
    different = wanted != found
    distance = np.abs(wanted.astype(int) - found.astype(int))
    small = distance <= (1 if node.attrs.get("nonlinear") != "HSWISH" else 8)
    entry = ops.setdefault(node.key, OpFinding(node.key, node.kind, 0, 0, 0, 0))
    entry.numbers += wanted.size
    entry.different += int(different.sum())
    entry.ties += int((different & tie & small).sum())
    entry.largest_step = max(entry.largest_step, int(distance.max(initial=0)))
