"""Run a script unmodified and write down what its runners read and made: recorder.py RECORD.npz SCRIPT ARGUMENT...

Arrays of the record: for runner kind k, `k/input/TENSOR` and `k/output/TENSOR`, one row per image, as passed by the
script (int8 numbers, or floats), and `k/position/TENSOR`. Equal inputs are written once, if their outputs were equal.
"""

from __future__ import annotations

import runpy
import sys
import threading
from typing import Any

import numpy as np

import vart

Names = tuple[str, ...]


class Recorder:
    """Stands around vart.Runner's execute_async and wait."""

    def __init__(self) -> None:
        self.rows: dict[tuple[Names, Names], dict[bytes, tuple[list[np.ndarray], list[np.ndarray]]]] = {}
        self.positions: dict[str, int] = {}
        self.calls = 0
        self._open: dict[tuple[int, int], tuple[list[np.ndarray], list[Any]]] = {}
        self._lock = threading.Lock()

    def install(self) -> None:
        """Put this recorder between scripts and vart."""
        execute, wait = vart.Runner.execute_async, vart.Runner.wait

        def execute_async(runner: Any, inputs: Any, outputs: Any, *more: Any) -> Any:
            job = execute(runner, inputs, outputs, *more)
            read = [
                np.array(buffer).reshape(t.dims) for buffer, t in zip(inputs, runner.get_input_tensors(), strict=True)
            ]
            with self._lock:
                self._open[id(runner), job[0]] = read, list(outputs)
            return job

        def waited(runner: Any, job: Any) -> int:
            status = wait(runner, job)
            with self._lock:
                read, outputs = self._open.pop((id(runner), job[0] if isinstance(job, (tuple, list)) else job))
                self._note(runner, read, outputs)
            return status

        for name, function in {"execute_async": execute_async, "wait": waited}.items():
            setattr(vart.Runner, name, function)

    def _note(self, runner: Any, read: list[np.ndarray], outputs: list[Any]) -> None:
        sources, results = runner.get_input_tensors(), runner.get_output_tensors()
        made = [np.array(buffer).reshape(t.dims) for buffer, t in zip(outputs, results, strict=True)]
        self.positions |= {tensor.name: tensor.get_attr("fix_point") for tensor in (*sources, *results)}
        key = tuple(t.name for t in sources), tuple(t.name for t in results)
        rows = self.rows.setdefault(key, {})
        for image in range(len(read[0])):
            self.calls += 1
            one, other = [array[image].copy() for array in read], [array[image].copy() for array in made]
            before = rows.setdefault(b"".join(array.tobytes() for array in one), (one, other))
            if any((a != b).any() for a, b in zip(before[1], other, strict=True)):
                sys.exit("equal inputs had two different outputs")

    def write(self, path: str) -> None:
        """Write the record."""
        arrays: dict[str, Any] = {"calls": self.calls}
        for kind, (names, rows) in enumerate(self.rows.items()):
            for side, index in (("input", 0), ("output", 1)):
                for number, name in enumerate(names[index]):
                    arrays[f"{kind}/{side}/{name}"] = np.stack([row[index][number] for row in rows.values()])
                    arrays[f"{kind}/position/{name}"] = self.positions[name]
        np.savez(path, **arrays)


if __name__ == "__main__":
    record, script = sys.argv[1:3]
    recorder = Recorder()
    recorder.install()
    sys.argv = sys.argv[2:]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        recorder.write(record)
