"""Runners: one subgraph each, ready to run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, Tuple

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.runtime import Engine, create_engine
from vart.buffers import arrays, from_device, to_device
from vart.errors import VartError
from vart.tensor_buffer import TensorBuffer
from vart.worker import Worker
from xir import Attr, Subgraph, Tensor

JobId = Tuple[int, int]  # number, status (always 0: errors are raised)


class Runner:
    """Runs one DPU subgraph. Make one with `Runner.create_runner`.

    Jobs run in the runner's own thread, in the order of the calls; several runners run side by side. A runner needs
    neither its graph nor its subgraph after it is made. Any thread may call it.
    """

    def __init__(self, name: str, engine: Engine, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Use create_runner instead."""
        self._engine = engine
        self._name = name
        self._inputs, self._outputs = inputs, outputs
        self._worker = Worker(f"vart {self._name}")

    @classmethod
    def create_runner(cls, subgraph: Subgraph, mode: str = "") -> Any:
        """Return a runner for a subgraph whose device is DPU.

        Args:
            subgraph: a child of a compiled graph's root.
            mode: a key of the subgraph's `runner` map, "run" as a rule. "ref" takes the reference engine, every other
                the engine that the environment's SOFTDPU_ENGINE names.

        Raises:
            VartError: not a DPU subgraph, or a mode that its `runner` map has not.
            SoftdpuError: weights in an order that only the hardware knows, or an op that the runtime has not.
        """
        _check_subgraph(subgraph, mode)
        with _damage_in_one_line(subgraph.get_name()):
            engine = create_engine(subgraph, "reference" if mode == "ref" else None)
            batch = batch_of(subgraph)
            inputs, outputs = (
                [with_batch(tensor, batch) for tensor in sorted(tensors, key=lambda tensor: tensor.name)]
                for tensors in (subgraph.get_input_tensors(), subgraph.get_output_tensors())
            )
            _check_shapes(subgraph.get_name(), [*inputs, *outputs])
        return cls(subgraph.get_name(), engine, inputs, outputs)

    def get_input_tensors(self) -> list[Tensor]:
        """Return the inputs, sorted by name, with the number of images that one job takes in dims[0]."""
        return list(self._inputs)

    def get_output_tensors(self) -> list[Tensor]:
        """Return the outputs, sorted by name, with the number of images that one job takes in dims[0]."""
        return list(self._outputs)

    def execute_async(self, inputs: Any, outputs: Any, enable_dynamic_array: bool = False) -> JobId:
        """Start a job and return (job id, 0) at once.

        Args:
            inputs, outputs: one writable C-contiguous buffer a tensor, in the order of get_input_tensors and
                get_output_tensors, int8 or float32, of the tensor's size. They must stay untouched until wait returns.
            enable_dynamic_array: buffers may hold fewer images than the batch; the same number in each.

        Raises:
            VartError: for buffers that are not as above.
        """
        sources = arrays(inputs, self._inputs, "input", enable_dynamic_array)
        targets = arrays(outputs, self._outputs, "output", enable_dynamic_array)
        counts = {len(array) for array in (*sources, *targets)}
        if len(counts) > 1:
            raise VartError(f"every buffer must hold the same number of images, got {sorted(counts)}")
        job = _Job(self._engine, self._inputs, self._outputs, sources, targets)
        return self._worker.submit(job), 0

    def wait(self, job: JobId | int) -> int:
        """Wait for a job, raise what it raised, and return 0.

        Args:
            job: what execute_async returned, or its first number. A job can be waited for once.

        Raises:
            VartError: for an unknown job, or one that was waited for before.
        """
        number = job[0] if isinstance(job, (tuple, list)) and len(job) == 2 else job
        if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)):
            raise VartError(f"wait takes the (job id, status) of execute_async, or the job id, got {job!r:.80}")
        self._worker.wait(int(number))
        return 0

    def __repr__(self) -> str:
        return f"<vart.{type(self).__name__} of '{self._name}'>"


class RunnerExt(Runner):
    """A runner that also makes buffers for its tensors."""

    def get_inputs(self) -> list[TensorBuffer]:
        """Return a new buffer for each input."""
        return [TensorBuffer(tensor) for tensor in self._inputs]

    def get_outputs(self) -> list[TensorBuffer]:
        """Return a new buffer for each output."""
        return [TensorBuffer(tensor) for tensor in self._outputs]


class _Job:
    """One call: the engine runs the graph's own batch as often as it fits into the buffers."""

    def __init__(
        self,
        engine: Engine,
        inputs: list[Tensor],
        outputs: list[Tensor],
        sources: list[np.ndarray],
        targets: list[np.ndarray],
    ) -> None:
        self._engine = engine
        self._inputs, self._outputs = inputs, outputs
        self._sources, self._targets = sources, targets

    def __call__(self) -> None:
        with _damage_in_one_line(self._engine.program.name):
            self._run()

    def _run(self) -> None:
        program = self._engine.program
        sources = [to_device(array, tensor) for array, tensor in zip(self._sources, self._inputs)]
        targets = [
            target if target.dtype == value.dtype else np.empty(target.shape, value.dtype)
            for target, value in zip(self._targets, program.outputs)
        ]
        step = program.inputs[0].shape[0] if program.inputs else 1
        for start in range(0, len(sources[0]), step):
            part = slice(start, start + step)
            self._engine.run([array[part] for array in sources], [array[part] for array in targets])
        for array, tensor, target in zip(targets, self._outputs, self._targets):
            if array is not target:
                from_device(array, tensor, target)


@contextlib.contextmanager
def _damage_in_one_line(name: str) -> Iterator[None]:
    """Turn whatever an engine raises over a damaged graph (KeyError, StopIteration, ...) into a VartError."""
    try:
        yield
    except SoftdpuError:
        raise
    except Exception as error:
        what = " ".join(str(error).split())[:200]
        raise VartError(
            f"subgraph '{name[:200]}' is damaged, no engine can run it ({type(error).__name__}: {what}): compile again"
        ) from error


def _check_shapes(name: str, tensors: list[Tensor]) -> None:
    for tensor in tensors:
        if not tensor.dims or min(tensor.dims) < 1:
            raise VartError(f"subgraph '{name}': tensor '{tensor.name}' has the shape {tensor.dims}: compile again")


def with_batch(tensor: Tensor, batch: int) -> Tensor:
    """Return a copy of a tensor, dims[0] multiplied by the batch."""
    copy = Tensor.create(tensor.name, [tensor.dims[0] * batch, *tensor.dims[1:]], tensor.dtype)
    for name, value in tensor.get_attrs().items():
        copy.set_attr(name, Attr(tensor.get_attr_kind(name), value))
    return copy


def _check_subgraph(subgraph: Any, mode: Any) -> None:
    if not isinstance(subgraph, Subgraph):
        raise VartError(f"create_runner takes an xir.Subgraph, got {type(subgraph).__name__}")
    name = subgraph.get_name()
    device = subgraph.get_attr("device") if subgraph.has_attr("device") else "none"
    if str(device).upper() != "DPU":
        raise VartError(
            f"subgraph '{name}' has the device {device}, expected DPU: take the children of the root subgraph whose "
            "attribute device is DPU"
        )
    libraries = subgraph.get_attr("runner") if subgraph.has_attr("runner") else {}
    libraries = libraries if isinstance(libraries, Mapping) else {}
    if not isinstance(mode, str) or mode not in libraries:
        known = ", ".join(f'"{key}"' for key in libraries) or "none"
        raise VartError(f"subgraph '{name}' has no runner for mode {mode!r:.80}; its modes: {known}")


def batch_of(subgraph: Subgraph) -> int:
    """Return how many images a subgraph's DPU takes at once, 1 for other devices; SOFTDPU_BATCH overrides it.

    Raises:
        VartError: SOFTDPU_BATCH is no number, or the DPU is unknown.
    """
    text = os.environ.get("SOFTDPU_BATCH")
    if text:
        if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0):
            raise VartError(f"SOFTDPU_BATCH must be a number of images from 1 to 999999, got '{text[:80]}'")
        return int(text)
    if not subgraph.has_attr("dpu_fingerprint"):
        return 1
    try:
        return max(boards.find_dpu(int(subgraph.get_attr("dpu_fingerprint"))).batch, 1)
    except SoftdpuError as error:
        raise VartError(f"subgraph '{subgraph.get_name()}': {error}") from None
