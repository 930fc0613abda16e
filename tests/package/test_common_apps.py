"""Programs in the pattern that AMD's examples share run on the project's `xir` and `vart` as they stand.

Written for these tests from the pattern: child subgraphs by device, a runner a thread, batches of the runner's size,
jobs collected and waited for later; with int8 and with float32 buffers, and with the buffers that RunnerExt makes.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest

import vart
import xir
from softdpu.runtime import evaluate_graph


def dpu_subgraphs(graph):
    root = graph.get_root_subgraph()
    assert root is not None
    if root.is_leaf:
        return []
    children = root.toposort_child_subgraph()
    assert children is not None and len(children) > 0
    return [c for c in children if c.has_attr("device") and c.get_attr("device").upper() == "DPU"]


@pytest.fixture
def images():
    return [np.random.default_rng(i).integers(-128, 128, (8, 8, 3)).astype(np.int8) for i in range(23)]


@pytest.fixture
def expected(xmodel, images):
    (outputs,) = evaluate_graph(xir.Graph.deserialize(str(xmodel)), np.stack(images)).values()
    return outputs.reshape(len(images), -1)


@pytest.mark.parametrize("batch", [1, 4, 6])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("jobs", [1, 5, 50])
@pytest.mark.parametrize("waits_for", ["job", "number"])
def test_jobs_collected_in_threads(xmodel, images, expected, monkeypatch, batch, threads, jobs, waits_for):
    monkeypatch.setenv("SOFTDPU_BATCH", str(batch))
    results = [None] * len(images)

    def work(start, runner, part):
        source, target = runner.get_input_tensors(), runner.get_output_tensors()
        shape_in, shape_out = tuple(source[0].dims), tuple(target[0].dims)
        outputs = [[np.empty(shape_out, dtype=np.int8, order="C")] for _ in range(jobs)]
        count, waiting = 0, []
        while count < len(part):
            size = min(shape_in[0], len(part) - count)
            inputs = [np.empty(shape_in, dtype=np.int8, order="C")]
            for j in range(size):
                inputs[0][j, ...] = part[count + j].reshape(shape_in[1:])
            waiting.append((runner.execute_async(inputs, outputs[len(waiting)]), size, start + count))
            count += size
            if count < len(part) and len(waiting) < jobs:
                continue
            for index, (job, held, place) in enumerate(waiting):
                runner.wait(job if waits_for == "job" else job[0])
                for j in range(held):
                    results[place + j] = outputs[index][0][j].ravel().copy()
            waiting = []

    graph = xir.Graph.deserialize(str(xmodel))
    subgraphs = dpu_subgraphs(graph)
    assert len(subgraphs) == 1
    runners = [vart.Runner.create_runner(subgraphs[0], "run") for _ in range(threads)]
    assert runners[0].get_input_tensors()[0].get_attr("fix_point") == 6
    bounds = [len(images) * i // threads for i in range(threads + 1)]
    workers = [
        threading.Thread(target=work, args=(low, runner, images[low:high]))
        for runner, low, high in zip(runners, bounds, bounds[1:], strict=False)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_array_equal(np.stack(results), expected)


def test_float_buffers_named_by_tensor(xmodel, images, expected):
    graph = xir.Graph.deserialize(str(xmodel))
    runner = vart.Runner.create_runner(dpu_subgraphs(graph)[0], "run")
    tensors = [*runner.get_input_tensors(), *runner.get_output_tensors()]
    buffers = {tensor.name: np.empty(tensor.dims, dtype=np.float32, order="C") for tensor in tensors}
    (source,), (target,) = runner.get_input_tensors(), runner.get_output_tensors()
    for image, logits in zip(images, expected, strict=True):
        buffers[source.name][0] = image.astype(np.float32) / 2 ** source.get_attr("fix_point")
        job = runner.execute_async([buffers[source.name]], [buffers[target.name]])
        assert runner.wait(job) == 0
        np.testing.assert_array_equal(
            buffers[target.name].ravel(), logits / np.float32(2) ** target.get_attr("fix_point")
        )


@pytest.mark.parametrize("batch", [1, 6])
def test_buffers_of_the_runner(xmodel, images, expected, monkeypatch, batch):
    monkeypatch.setenv("SOFTDPU_BATCH", str(batch))
    graph = xir.Graph.deserialize(str(xmodel))
    runner = vart.RunnerExt.create_runner(dpu_subgraphs(graph)[0], "run")
    sources, targets = runner.get_inputs(), runner.get_outputs()
    assert tuple(sources[0].get_tensor().dims) == (batch, 8, 8, 3)
    np.asarray(sources[0])[0] = images[7]
    runner.wait(runner.execute_async(sources, targets))
    size = targets[0].get_tensor().get_data_size() // batch
    assert size == 10
    np.testing.assert_array_equal(np.asarray(targets[0])[0].ravel(), expected[7])
