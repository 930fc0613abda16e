"""What a runner does to its process: imports, interruption, memory."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from small_models import buffers, compiled, dpu_of

import vart

HERE = Path(__file__).parent

LONG_RUN = """
import sys
sys.path.insert(0, sys.argv[1])
from small_models import buffers, compiled, dpu_of
import vart
runner = vart.Runner.create_runner(dpu_of(compiled(shape=(1, 150, 150, 3))), "run")
inputs, outputs = buffers(runner)
jobs = [runner.execute_async(inputs, outputs) for _ in range(4)]
print("started", flush=True)
runner.wait(jobs[-1])
print("finished", flush=True)
"""


def long_run(engine: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", LONG_RUN, str(HERE)],
        env={**os.environ, "SOFTDPU_ENGINE": engine, "SOFTDPU_BATCH": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_ctrl_c_ends_a_long_run_within_a_second():
    process = long_run("reference")
    assert process.stdout.readline() == "started\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - start < 1
    assert "KeyboardInterrupt" in err and "finished" not in out


def test_import_is_light():
    heavy = ("tensorflow", "keras", "tf_keras", "ai_edge_litert")
    code = f"import vart, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"


def resident() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_runners_and_runs_leave_nothing_behind():
    subgraph = dpu_of(compiled())

    def cycle(count):
        for _ in range(count):
            runner = vart.Runner.create_runner(subgraph, "run")
            inputs, outputs = buffers(runner)
            runner.wait(runner.execute_async(inputs, outputs))
        return runner

    cycle(100)
    before = resident()
    runner = cycle(1000)
    assert resident() - before < 4
    inputs, outputs = buffers(runner)
    before = resident()
    for _ in range(10_000):
        runner.wait(runner.execute_async(inputs, outputs))
    assert resident() - before < 2
    assert np.any(outputs[0] != 99)
