"""vart behaves as AMD's module does, and tells of wrong calls."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
from small_models import buffers, compiled, dpu_of

import vart
import xir
from softdpu.errors import SoftdpuError

VCK190 = 0x603000B56011861


@pytest.fixture
def runner():
    return vart.Runner.create_runner(dpu_of(compiled()), "run")


def expected(inputs, image=0):
    """The two outputs of the small graph in plain integers: z, then y (tensors are sorted by name)."""
    total = inputs[0][image].astype(int) + inputs[1][image]
    z = np.clip((total + 1) >> 1, -128, 127)
    padded = np.pad(z, ((1, 1), (1, 1), (0, 0)))
    weights = (np.arange(54).reshape(2, 3, 3, 3)) - 20
    y = np.zeros((4, 5, 2), int)
    for i, j in np.ndindex(4, 5):
        y[i, j] = np.tensordot(padded[i : i + 3, j : j + 3], weights, ([0, 1, 2], [1, 2, 3]))
    return {"z": z, "y": np.clip((y + 64) >> 7, -128, 127)}


def check(runner, inputs, outputs):
    for tensor, output in zip(runner.get_output_tensors(), outputs, strict=True):
        for image in range(len(output)):
            assert (output[image] == expected(inputs, image)[tensor.name]).all()


def test_runs(runner):
    inputs, outputs = buffers(runner)
    job = runner.execute_async(inputs, outputs)
    assert isinstance(job, tuple) and job[1] == 0
    assert runner.wait(job) == 0
    check(runner, inputs, outputs)


def test_wait_takes_the_job_id_too(runner):
    inputs, outputs = buffers(runner)
    assert runner.wait(runner.execute_async(inputs, outputs)[0]) == 0
    check(runner, inputs, outputs)


def test_tensors_are_sorted_and_keep_their_attributes(runner):
    assert [tensor.name for tensor in runner.get_input_tensors()] == ["a", "b"]
    assert [tensor.name for tensor in runner.get_output_tensors()] == ["y", "z"]
    tensor = runner.get_output_tensors()[0]
    assert (tensor.dims, tensor.dtype, tensor.get_attr("fix_point")) == ([1, 4, 5, 2], "xint8", 3)


@pytest.mark.parametrize("engine", ["litert", "reference"])
def test_batch_is_the_targets(monkeypatch, engine):
    monkeypatch.setenv("SOFTDPU_ENGINE", engine)
    runner = vart.Runner.create_runner(dpu_of(compiled(VCK190)), "run")
    assert runner.get_input_tensors()[0].dims == [6, 4, 5, 3]
    inputs, outputs = buffers(runner)
    runner.wait(runner.execute_async(inputs, outputs))
    check(runner, inputs, outputs)
    part = [array[:2].copy() for array in inputs], [array[:2].copy() for array in outputs]
    with pytest.raises(vart.VartError, match="enable_dynamic_array"):
        runner.execute_async(*part)
    runner.wait(runner.execute_async(*part, enable_dynamic_array=True))
    check(runner, *part)


def test_batch_override(monkeypatch):
    monkeypatch.setenv("SOFTDPU_BATCH", "3")
    assert vart.Runner.create_runner(dpu_of(compiled()), "run").get_input_tensors()[0].dims[0] == 3
    monkeypatch.setenv("SOFTDPU_BATCH", "none")
    with pytest.raises(vart.VartError, match="SOFTDPU_BATCH"):
        vart.Runner.create_runner(dpu_of(compiled()), "run")


def test_float_buffers_cut_towards_zero_and_saturate(runner):
    inputs, outputs = buffers(runner)
    runner.wait(runner.execute_async(inputs, outputs))
    part = np.random.default_rng(1).uniform(0, 0.99, inputs[0].shape)
    floats = [((array + part * np.sign(array)) / 32).astype(np.float32) for array in inputs]
    floats[0][inputs[0] == 127] = 1e9
    floats[0][inputs[0] == -128] = -1e9
    wide = [np.zeros(array.shape, np.float32) for array in outputs]
    runner.wait(runner.execute_async(floats, wide))
    for tensor, array, real in zip(runner.get_output_tensors(), outputs, wide, strict=True):
        assert (real == array / 2.0 ** tensor.get_attr("fix_point")).all()


def test_shape_of_a_buffer_is_free(runner):
    inputs, outputs = buffers(runner)
    flat = [array.reshape(-1) for array in outputs]
    runner.wait(runner.execute_async([array.reshape(1, -1) for array in inputs], flat))
    check(runner, inputs, outputs)


def test_buffers_of_other_kinds(runner):
    inputs, outputs = buffers(runner)
    raw = [bytearray(array.tobytes()) for array in inputs]
    with pytest.raises(vart.VartError, match="expected int8"):
        runner.execute_async(raw, outputs)  # bytes are unsigned
    runner.wait(runner.execute_async([memoryview(array) for array in raw_as_int8(raw)], outputs))
    check(runner, inputs, outputs)


def raw_as_int8(raw):
    return [memoryview(array).cast("b") for array in raw]


def test_runner_ext():
    runner = vart.RunnerExt.create_runner(dpu_of(compiled()), "run")
    assert isinstance(runner, vart.RunnerExt)
    inputs, outputs = runner.get_inputs(), runner.get_outputs()
    assert [buffer.get_tensor().name for buffer in inputs + outputs] == ["a", "b", "y", "z"]
    given, _ = buffers(runner)
    for buffer, array in zip(inputs, given, strict=True):
        np.asarray(buffer)[...] = array
    runner.wait(runner.execute_async(inputs, outputs))
    check(runner, given, [np.asarray(buffer) for buffer in outputs])


def test_many_jobs_in_flight_in_any_order(runner):
    jobs = []
    for seed in range(200):
        inputs, outputs = buffers(runner, seed)
        jobs.append((runner.execute_async(inputs, outputs), inputs, outputs))
    for index in np.random.default_rng(0).permutation(len(jobs)):
        job, inputs, outputs = jobs[index]
        assert runner.wait(job) == 0
        check(runner, inputs, outputs)


def test_execute_async_returns_at_once(runner, monkeypatch):
    gate = threading.Event()
    plain = runner._engine.run
    monkeypatch.setattr(runner._engine, "run", lambda *a: (gate.wait(10), plain(*a)))
    inputs, outputs = buffers(runner)
    jobs = [runner.execute_async(inputs, [array.copy() for array in outputs]) for _ in range(3)]
    assert all((array == 99).all() for array in outputs)
    gate.set()
    assert [runner.wait(job) for job in jobs] == [0, 0, 0]


def test_runners_side_by_side():
    runners = [vart.Runner.create_runner(dpu_of(compiled()), "run") for _ in range(4)]
    failures = []

    def work(runner, seed):
        for _ in range(50):
            inputs, outputs = buffers(runner, seed)
            runner.wait(runner.execute_async(inputs, outputs))
            try:
                check(runner, inputs, outputs)
            except AssertionError as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(r, s)) for s, r in enumerate(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_runners_made_in_their_threads():
    graph, results = compiled(), []

    def work(seed):
        runner = vart.Runner.create_runner(dpu_of(graph), "run")
        inputs, outputs = buffers(runner, seed)
        runner.wait(runner.execute_async(inputs, outputs))
        results.append((runner, inputs, outputs))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    for made, inputs, outputs in results:
        check(made, inputs, outputs)


def test_one_runner_in_many_threads(runner):
    results = []

    def work(seed):
        inputs, outputs = buffers(runner, seed)
        runner.wait(runner.execute_async(inputs, outputs))
        results.append((inputs, outputs))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    for inputs, outputs in results:
        check(runner, inputs, outputs)


def test_runner_outlives_its_graph():
    graph = compiled()
    runner = vart.Runner.create_runner(dpu_of(graph), "run")
    del graph
    gc.collect()
    inputs, outputs = buffers(runner)
    runner.wait(runner.execute_async(inputs, outputs))
    check(runner, inputs, outputs)


def test_job_outlives_its_runner():
    runner = vart.Runner.create_runner(dpu_of(compiled()), "run")
    inputs, outputs = buffers(runner)
    tensors = runner.get_output_tensors()
    runner.execute_async(inputs, outputs)
    del runner
    gc.collect()
    deadline = time.monotonic() + 10
    while any((array == 99).all() for array in outputs) and time.monotonic() < deadline:
        time.sleep(0.01)
    for tensor, output in zip(tensors, outputs, strict=True):
        assert (output[0] == expected(inputs)[tensor.name]).all()


def test_threads_end_with_their_runners():
    gc.collect()
    before = threading.active_count()
    for _ in range(20):
        runner = vart.Runner.create_runner(dpu_of(compiled()), "run")
        inputs, outputs = buffers(runner)
        runner.wait(runner.execute_async(inputs, outputs))
    del runner
    gc.collect()
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_error_in_a_worker_is_reported_by_wait_and_others_go_on(runner, monkeypatch):
    plain = runner._engine.run
    calls = []

    def sometimes(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise ArithmeticError("second job")
        plain(*arguments)

    monkeypatch.setattr(runner._engine, "run", sometimes)
    jobs = []
    for seed in range(3):
        inputs, outputs = buffers(runner, seed)
        jobs.append((runner.execute_async(inputs, outputs), inputs, outputs))
    with pytest.raises(vart.VartError, match="ArithmeticError: second job"):
        runner.wait(jobs[1][0])
    for job, inputs, outputs in (jobs[0], jobs[2]):
        assert runner.wait(job) == 0
        check(runner, inputs, outputs)


def test_mode_ref_is_the_reference_engine():
    runner = vart.Runner.create_runner(dpu_of(compiled()), "ref")
    assert type(runner._engine).__name__ == "ReferenceEngine"
    inputs, outputs = buffers(runner)
    runner.wait(runner.execute_async(inputs, outputs))
    check(runner, inputs, outputs)


WRONG_BUFFERS = {
    "too few": (lambda a: a[:1], "expected 2 input buffers"),
    "too many": (lambda a: [*a, a[0]], "expected 2 input buffers"),
    "not a list": (lambda a: a[0], "must be a list"),
    "wrong shape": (lambda a: [a[0][:, :3].copy(), a[1]], "expected int8 or float32 of shape"),
    "empty": (lambda a: [a[0][:0], a[1]], "expected int8 or float32 of shape"),
    "uint8": (lambda a: [a[0].view(np.uint8), a[1]], "got uint8"),
    "float64": (lambda a: [a[0].astype(float), a[1]], "got float64"),
    "int32": (lambda a: [a[0].astype(np.int32), a[1]], "got int32"),
    "strided": (lambda a: [np.zeros((1, 4, 5, 6), np.int8)[..., ::2], a[1]], "C-contiguous"),
    "Fortran order": (lambda a: [np.asfortranarray(a[0]), a[1]], "C-contiguous"),
    "no buffer": (lambda a: [None, a[1]], "expected a numpy array"),
    "a list of numbers": (lambda a: [a[0].tolist(), a[1]], "expected a numpy array"),
}


@pytest.mark.parametrize("name", WRONG_BUFFERS)
def test_wrong_inputs(runner, name):
    change, message = WRONG_BUFFERS[name]
    inputs, outputs = buffers(runner)
    with pytest.raises(vart.VartError, match=message):
        runner.execute_async(change(inputs), outputs)


def test_wrong_outputs(runner):
    inputs, outputs = buffers(runner)
    locked = [array.copy() for array in outputs]
    locked[0].flags.writeable = False
    for wrong, message in ((outputs[:1], "expected 2 output buffers"), (locked, "output 'y'.*read-only")):
        with pytest.raises(vart.VartError, match=message):
            runner.execute_async(inputs, wrong)
    inputs[1].flags.writeable = False
    with pytest.raises(vart.VartError, match=r"input 'b'.*read-only"):
        runner.execute_async(inputs, outputs)


def test_wrong_jobs(runner):
    inputs, outputs = buffers(runner)
    job = runner.execute_async(inputs, outputs)
    with pytest.raises(vart.VartError, match="unknown"):
        runner.wait((job[0] + 1, 0))
    runner.wait(job)
    with pytest.raises(vart.VartError, match="waited for already"):
        runner.wait(job)
    for nonsense in (None, "0", 1.0, (1,), [], True):
        with pytest.raises(vart.VartError, match="wait takes"):
            runner.wait(nonsense)


def test_wrong_subgraphs():
    graph = compiled()
    user = next(child for child in graph.get_root_subgraph().get_children() if child.get_attr("device") == "USER")
    with pytest.raises(vart.VartError, match="device USER, expected DPU"):
        vart.Runner.create_runner(user, "run")
    with pytest.raises(vart.VartError, match="device none, expected DPU"):
        vart.Runner.create_runner(graph.get_root_subgraph(), "run")
    with pytest.raises(vart.VartError, match=r"takes an xir\.Subgraph"):
        vart.Runner.create_runner(graph, "run")
    for mode in ("sim", "", "RUN", None):
        with pytest.raises(vart.VartError, match='its modes: "ref", "run"'):
            vart.Runner.create_runner(dpu_of(graph), mode)


def test_unknown_engine(monkeypatch):
    monkeypatch.setenv("SOFTDPU_ENGINE", "gpu")
    with pytest.raises(SoftdpuError, match="SOFTDPU_ENGINE must be one of litert, reference"):
        vart.Runner.create_runner(dpu_of(compiled()), "run")


def test_unknown_fingerprint():
    with pytest.raises(vart.VartError, match="0xff000000"):
        vart.Runner.create_runner(dpu_of(compiled(0xFF00000000000000)), "run")


def test_unknown_op():
    graph = xir.Graph("custom")
    data = graph.create_op("d", "data-fix", {"shape": [1, 2, 2, 1], "data_type": "XINT8"})
    data.get_output_tensor().set_attr("fix_point", 0)
    graph.create_op("m", "my-op", {"shape": [1, 2, 2, 1], "data_type": "XINT8"}, {"input": [data]})
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    dpu = next(child for child in root.get_children() if child.has_op("m"))
    dpu.set_attr("device", "DPU")
    dpu.set_attr("runner", {"run": "x"})
    with pytest.raises(SoftdpuError, match="'m' has the type 'my-op'"):
        vart.Runner.create_runner(dpu, "run")
