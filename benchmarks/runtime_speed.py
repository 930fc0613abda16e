"""Speed and memory of the runtime on MobileNet 1.0/224, beside LiteRT's own int8 conversion of the same network.

python benchmarks/runtime_speed.py            # everything but the long runs
python benchmarks/runtime_speed.py --soak     # also 1,000 runners and 100,000 runs without growth
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from compiler_time import mobilenet  # beside this file

import vart
import xir
from softdpu.compiler import compile_keras
from softdpu.numbers import boards
from softdpu.runtime import create_engine

SIZE, CLASSES = 224, 1000


def compiled(size: int = SIZE, classes: int = CLASSES) -> xir.Graph:
    """Return MobileNet v1 1.0 compiled for a ZCU102, with random weights."""
    return compile_keras(mobilenet(size, classes), boards.find_target("zcu102")).to_xir()


def dpu_of(graph: xir.Graph) -> xir.Subgraph:
    """Return the DPU subgraph."""
    children = graph.get_root_subgraph().toposort_child_subgraph()
    return next(child for child in children if child.get_attr("device") == "DPU")


def peer_model(classes: int = CLASSES) -> bytes:
    """Return the same network, converted to int8 by TensorFlow's converter."""
    os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
    import tensorflow as tf

    shape = (SIZE, SIZE, 3)
    model = tf.keras.applications.MobileNet(shape, weights=None, classes=classes, classifier_activation=None)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rng = np.random.default_rng(0)
    converter.representative_dataset = lambda: ([rng.normal(0, 1, (1, *shape)).astype(np.float32)] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def resident() -> float:
    """Return this process's resident memory in MiB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def compare_speed(subgraph: xir.Subgraph, image: np.ndarray, rounds: int) -> None:
    """Print the time of an image on one thread, ours and the peer's in turns."""
    engine, reference = create_engine(subgraph), create_engine(subgraph, "reference")
    output, expected = (np.empty((1, CLASSES), np.int8) for _ in range(2))
    reference.run([image], [expected])
    peer = Interpreter(model_content=peer_model(), num_threads=1)
    peer.allocate_tensors()
    source, target = peer.get_input_details()[0]["index"], peer.get_output_details()[0]["index"]

    def ours() -> None:
        engine.run([image], [output])

    def theirs() -> None:
        peer.set_tensor(source, image)
        peer.invoke()
        peer.get_tensor(target)

    times: dict[Callable[[], None], list[float]] = {ours: [], theirs: []}
    for _ in range(rounds):
        for run in (ours, theirs):
            start = time.thread_time()
            for _ in range(10):
                run()
            times[run].append((time.thread_time() - start) / 10)
    mine, other = (statistics.median(times[run]) * 1e3 for run in (ours, theirs))
    print(
        f"one thread: {mine:.2f} ms per image, LiteRT's own int8 {other:.2f} ms: {other / mine:.2f} of its throughput"
    )
    print(f"different from the reference: {int((output != expected).sum())} of {output.size}")


def throughput(runners: list[vart.Runner], image: np.ndarray, seconds: float) -> tuple[float, float]:
    """Return images per second, one thread per runner, and the processor's milliseconds per image."""
    counts = [0] * len(runners)
    end = time.perf_counter() + seconds

    def work(index: int) -> None:
        output = np.empty((1, CLASSES), np.int8)
        while time.perf_counter() < end:
            runners[index].wait(runners[index].execute_async([image], [output]))
            counts[index] += 1

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(runners))]
    start, busy = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start), 1e3 * (time.process_time() - busy) / sum(counts)


def scale(subgraph: xir.Subgraph, image: np.ndarray, rounds: int) -> None:
    """Print what two threads give over one."""
    runners = [vart.Runner.create_runner(subgraph, "run") for _ in range(2)]
    throughput(runners, image, 0.3)
    rows = [
        (*throughput(runners[:1], image, 0.7), *throughput(runners, image, 0.7)) for _ in range(max(rounds // 3, 3))
    ]
    one, cost, two, cost_two = (statistics.median(column) for column in zip(*rows, strict=True))
    best = max(row[2] / row[0] for row in rows)
    print(f"vart: 1 thread {one:.0f} images/s, 2 threads {two:.0f}: x{two / one:.2f} (best of the rounds x{best:.2f})")
    print(f"vart: the processor works {cost:.2f} ms per image with 1 thread, {cost_two:.2f} ms with 2")


def creation(path: Path) -> None:
    """Print what a runner costs in time and memory."""
    subgraph = dpu_of(xir.Graph.deserialize(str(path)))
    vart.Runner.create_runner(subgraph, "run")
    times, runners, before = [], [], resident()
    for _ in range(5):
        start = time.perf_counter()
        runners.append(vart.Runner.create_runner(subgraph, "run"))
        times.append(time.perf_counter() - start)
        tensors = runners[-1].get_input_tensors(), runners[-1].get_output_tensors()
        buffers = [[np.zeros(tensor.dims, np.int8) for tensor in group] for group in tensors]
        runners[-1].wait(runners[-1].execute_async(*buffers))
    each, size = (resident() - before) / len(runners), path.stat().st_size / 2**20
    print(f"create_runner {min(times):.3f} to {max(times):.3f} s (bar 0.5)")
    print(f"memory {each:.1f} MiB a runner, the .xmodel {size:.1f} MiB (bar {4 * size + 60:.0f})")


def soak(cycles: int, runs: int) -> None:
    """Print how memory grows over many runners and many runs of a small network."""
    subgraph = dpu_of(compiled(32, 10))
    image, output = np.zeros((1, 32, 32, 3), np.int8), np.empty((1, 10), np.int8)

    def cycle(count: int) -> None:
        for _ in range(count):
            runner = vart.Runner.create_runner(subgraph, "run")
            runner.wait(runner.execute_async([image], [output]))

    cycle(cycles // 2)
    before, threads = resident(), threading.active_count()
    cycle(cycles)
    growth = resident() - before
    print(f"{cycles} runners after {cycles // 2}: {growth:+.1f} MiB, {threading.active_count() - threads:+d} threads")
    runner = vart.Runner.create_runner(subgraph, "run")
    before = resident()
    for _ in range(runs):
        runner.wait(runner.execute_async([image], [output]))
    print(f"{runs} runs: {resident() - before:+.1f} MiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="repetitions of each measurement (default %(default)s)")
    parser.add_argument("--soak", action="store_true", help="also 1,000 runners and 100,000 runs")
    arguments = parser.parse_args()
    graph = compiled()
    image = np.random.default_rng(1).integers(-128, 128, (1, SIZE, SIZE, 3)).astype(np.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mobilenet.xmodel"
        graph.serialize(str(path))
        creation(path)
    scale(dpu_of(graph), image, arguments.rounds)
    compare_speed(dpu_of(graph), image, arguments.rounds)
    if arguments.soak:
        soak(1000, 100_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
