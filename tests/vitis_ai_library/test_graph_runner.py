"""The graph runner on small graphs in pieces: order, lifetimes, buffers, threads, batches, and what it refuses."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vart
import vitis_ai_library
import xir
from softdpu.errors import SoftdpuError
from softdpu.runtime import create_graph_engine

RUNNERS = {"run": "libvart-softdpu-runner.so"}
B4096, C20B14 = 0x101000056010407, 0x901400044000E44
SHAPE = (1, 4, 5, 3)


def pieces(fingerprint: int = B4096, middle: str = "elu") -> xir.Graph:
    """Inputs b and a -> DPU: sum -> CPU: a float function -> DPU: square; outputs the square and the first sum."""
    graph = xir.Graph("pieces")
    attrs: dict[str, Any] = {"bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}

    def op(name: str, kind: str, position: int | None, sources: list[Any], **more: Any) -> Any:
        made = graph.create_op(name, kind, more, {"input": sources} if sources else {})
        if position is not None:
            made.get_output_tensor().set_attrs({"fix_point": position, **attrs})
        return made

    data = [op(name, "data-fix", 4, [], shape=list(SHAPE), data_type="XINT8") for name in ("b", "a")]
    total = op("total", "eltwise-fix", 4, data, type="ADD", nonlinear="NONE")
    down = op("z", "download", 4, [total])
    real = op("real", "fix2float", None, [down], fix_point=4, **attrs)
    more = {} if middle == "elu" else {"shape": list(SHAPE), "data_type": "FLOAT32"}
    curve = op("curve", middle, None, [real], **more)
    back = op("back", "float2fix", 5, [curve], fix_point=5, **attrs)
    square = op("square", "eltwise-fix", 3, [back, down], type="MUL", nonlinear="NONE")
    end = op("y", "download", 3, [square])
    for name, source, position in (("y_", end, 3), ("z_", down, 4)):
        op(name, "fix2float", None, [source], fix_point=position, **attrs)
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    inputs, outputs = [("USER", "b"), ("USER", "a")], ("CPU", "y_ z_")
    for device, names in (*inputs, ("DPU", "total z"), ("CPU", "real curve back"), ("DPU", "square y"), outputs):
        children = {root.find_child_subgraph_by_op(graph.get_op(name)) for name in names.split()}
        child = root.merge_children(children) if len(children) > 1 else children.pop()
        child.set_attr("device", device)
        if device == "DPU":
            child.set_attr("dpu_fingerprint", xir.Attr("uint64", fingerprint))
            child.set_attr("runner", RUNNERS)
    return graph


def half_up(x: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(x + 0.5), -128, 127)


def expected(b: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what `pieces` computes, written from the definitions."""
    total = half_up(a.astype(float) + b)
    real = total / 16
    curve = np.where(real > 0, real, np.expm1(real.astype(np.float32)))
    middle = half_up(curve * 32)
    return half_up(middle / 32 * (total / 16) * 8) / 8, real


def random_inputs(seed: int, images: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-60, 60, (images, *SHAPE[1:])).astype(np.int8) for _ in range(2)]


def create(graph: xir.Graph, **options: Any) -> Any:
    return vitis_ai_library.GraphRunner.create_graph_runner(graph, **options)


def check(outputs: list[np.ndarray], inputs: list[np.ndarray]) -> None:
    for found, wanted in zip(outputs, expected(*inputs), strict=True):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("engine", ["litert", "reference"])
def test_runs_all_pieces_in_order(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTDPU_ENGINE", engine)
    runner = create(pieces())
    assert [tensor.name for tensor in runner.get_input_tensors()] == ["b", "a"]  # the order of the subgraphs
    assert [tensor.name for tensor in runner.get_output_tensors()] == ["y_", "z_"]  # the order of the names
    assert [tensor.dtype for tensor in (*runner.get_input_tensors(), *runner.get_output_tensors())] == [
        *("xint8", "xint8", "float32", "float32")
    ]
    assert runner.get_input_tensors()[0].get_attr("fix_point") == 4
    for seed in range(3):
        inputs, outputs = random_inputs(seed), [np.full(SHAPE, 99, np.float32) for _ in range(2)]
        assert runner.wait(runner.execute_async(inputs, outputs)) == 0
        check(outputs, inputs)


def test_own_buffers_are_the_same_every_time_as_amds_are() -> None:
    runner = create(pieces())
    inputs = random_inputs(7)
    for buffer, array in zip(runner.get_inputs(), inputs, strict=True):
        assert buffer.get_tensor().get_element_num() == array.size
        np.asarray(buffer)[...] = array
    job = runner.execute_async(runner.get_inputs(), runner.get_outputs())
    assert isinstance(job, tuple) and runner.wait(job) == 0
    check([np.asarray(buffer) for buffer in runner.get_outputs()], inputs)


def test_float_buffers_of_integer_inputs() -> None:
    runner, inputs = create(pieces()), random_inputs(1)
    outputs = [np.zeros(SHAPE, np.float32) for _ in range(2)]
    runner.wait(runner.execute_async([(array / 16).astype(np.float32) for array in inputs], outputs))
    check(outputs, inputs)


def test_the_graph_may_go() -> None:
    graph = pieces()
    runner, gone = create(graph), weakref.ref(graph)
    del graph
    gc.collect()
    assert gone() is None
    inputs, outputs = random_inputs(2), [np.zeros(SHAPE, np.float32) for _ in range(2)]
    runner.wait(runner.execute_async(inputs, outputs))
    check(outputs, inputs)


def test_batch_of_the_dpu_and_fewer_images() -> None:
    runner = create(pieces(C20B14))
    assert {tensor.dims[0] for tensor in (*runner.get_input_tensors(), *runner.get_output_tensors())} == {14}
    for images, dynamic in ((14, False), (5, True)):
        inputs = random_inputs(images, images)
        outputs = [np.zeros((images, *SHAPE[1:]), np.float32) for _ in range(2)]
        runner.wait(runner.execute_async(inputs, outputs, dynamic))
        check(outputs, inputs)


def test_many_threads_share_one_runner_and_have_their_own() -> None:
    shared, errors = create(pieces()), []

    def work(seed: int) -> None:
        try:
            for runner in (shared, create(pieces())):
                jobs = []
                for index in range(8):
                    inputs, outputs = random_inputs(100 * seed + index), [np.zeros(SHAPE, np.float32) for _ in range(2)]
                    jobs.append((runner.execute_async(inputs, outputs), inputs, outputs))
                for job, inputs, outputs in reversed(jobs):
                    runner.wait(job)
                    check(outputs, inputs)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_value_is_dropped_when_nothing_reads_it_any_more() -> None:
    engine = create_graph_engine(pieces(), "reference")
    alive: list[set[str]] = []
    made: dict[str, weakref.ref[np.ndarray]] = {}
    for one in engine._engines:

        def run(inputs: list[Any], outputs: list[Any], one: Any = one, real: Any = one.run) -> None:
            made.update({v.name: weakref.ref(array) for v, array in zip(one.program.outputs, outputs, strict=True)})
            alive.append({name for name, array in made.items() if array() is not None})
            real(inputs, outputs)

        one.run = run  # type: ignore[method-assign]
    outputs = [np.zeros(SHAPE, np.float32) for _ in range(2)]
    inputs = random_inputs(3)
    engine.run(inputs, outputs)
    check(outputs, inputs)
    assert alive[:3] == [{"z"}, {"z", "back"}, {"z", "back", "y"}]  # z has three readers, the last one at the end
    assert alive[3] == {"z", "y", "y_", "z_"}


PYTHON_OP = """
import numpy as np

class Curve:
    def __init__(self, op):
        self.alpha = 1.0 if op.get_type() == "Curve" else 0.0

    def calculate(self, output, input):
        x = np.asarray(input[0])
        assert list(x.shape) == input[0].get_tensor().dims == output.get_tensor().dims
        np.asarray(output)[...] = np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))
"""


def test_operator_of_ones_own_from_the_folder_of_amds_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SoftdpuError, match=r"'curve' has the type 'Curve'.*create_graph_runner"):
        create(pieces(middle="Curve"))
    (tmp_path / "vart_op_imp").mkdir()
    (tmp_path / "vart_op_imp" / "Curve.py").write_text(PYTHON_OP)
    monkeypatch.syspath_prepend(tmp_path)
    runner = create(pieces(middle="Curve"))
    inputs, outputs = random_inputs(4), [np.zeros(SHAPE, np.float32) for _ in range(2)]
    runner.wait(runner.execute_async(inputs, outputs))
    check(outputs, inputs)

    (tmp_path / "vart_op_imp" / "Other.py").write_text("wrong = 1\n")
    with pytest.raises(vart.VartError, match="expected a class 'Other'"):
        create(pieces(middle="Other"))
    kernels = {"Other": lambda node, args: np.where(args["input"][0] > 0, args["input"][0], 0)}
    assert create(pieces(middle="Other"), kernels=kernels).get_inputs()


def test_wrong_calls_are_explained() -> None:
    with pytest.raises(vart.VartError, match=r"takes an xir.Graph, got str"):
        create("net.xmodel")  # type: ignore[arg-type]
    graph = xir.Graph("plain")
    graph.create_op("image", "data", {"shape": [1, 2], "data_type": "FLOAT32"}, {})
    with pytest.raises(SoftdpuError, match=r"'plain' has no subgraphs.*compile it"):
        create(graph)
    runner, outputs = create(pieces()), [np.zeros(SHAPE, np.float32) for _ in range(2)]
    with pytest.raises(vart.VartError, match=r"expected 2 input buffers \(b, a\), got 1"):
        runner.execute_async(random_inputs(0)[:1], outputs)
    with pytest.raises(vart.VartError, match=r"output 'y_': expected float32 of shape \[1, 4, 5, 3\], got int8"):
        runner.execute_async(random_inputs(0), random_inputs(0))
    with pytest.raises(vart.VartError, match="unknown or was waited for"):
        runner.wait((77, 0))
    graph = pieces()
    next(iter(graph.get_root_subgraph().get_children())).set_attr("device", "FPGA")
    with pytest.raises(SoftdpuError, match="has the device FPGA, expected USER, DPU or CPU"):
        create(graph)


def test_a_failed_job_is_reported_by_wait(tmp_path: Path) -> None:
    def broken(node: Any, args: Any) -> np.ndarray:
        raise ValueError("no such number")

    runner = create(pieces(middle="Curve"), kernels={"Curve": broken})
    job = runner.execute_async(random_inputs(0), [np.zeros(SHAPE, np.float32) for _ in range(2)])
    with pytest.raises(ValueError, match="no such number"):
        runner.wait(job)
