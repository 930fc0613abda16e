"""Damaged graphs, forked processes and odd numbers: one line, never what an engine happens to raise."""

from __future__ import annotations

import os
import traceback

import numpy as np
import pytest
from small_models import buffers, compiled, dpu_of

import vart
import xir
from softdpu.errors import SoftdpuError


@pytest.mark.parametrize("mode", [[], {}, None, 5, "fly", ["run"]])
def test_a_mode_is_a_key_of_the_runner_map(mode):
    with pytest.raises(vart.VartError, match="has no runner for mode"):
        vart.Runner.create_runner(dpu_of(compiled()), mode)


@pytest.mark.parametrize("text", ["²", "٣", "๓", "1e3", "+5", " 5", "5_0", "0", "-1", "9" * 5000, "1000000"])
def test_a_batch_of_odd_digits_is_refused(monkeypatch, text):
    monkeypatch.setenv("SOFTDPU_BATCH", text)
    with pytest.raises(vart.VartError, match="SOFTDPU_BATCH must be a number") as caught:
        vart.Runner.create_runner(dpu_of(compiled()), "run")
    assert len(str(caught.value)) < 200


def test_nan_in_a_float_input_is_refused_and_infinity_saturates():
    runner = vart.Runner.create_runner(dpu_of(compiled()), "run")
    inputs, outputs = buffers(runner)
    floats = [array.astype(np.float32) / 8 for array in inputs]
    floats[0].flat[3] = np.inf
    runner.wait(runner.execute_async(floats, outputs))
    floats[0].flat[3] = np.nan
    with pytest.raises(vart.VartError, match="NaN"):
        runner.wait(runner.execute_async(floats, outputs))


@pytest.mark.parametrize("what", ["wait", "execute"])
def test_a_forked_process_is_told_to_make_its_own_runner(what):
    runner = vart.Runner.create_runner(dpu_of(compiled()), "run")
    inputs, outputs = buffers(runner)
    job = runner.execute_async(inputs, outputs)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            runner.wait(job) if what == "wait" else runner.execute_async(inputs, outputs)
        except vart.VartError as error:
            status = 0 if "forked" in str(error) else 2
        except BaseException:
            traceback.print_exc()
        os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert runner.wait(job) == 0


DAMAGE = [
    ("conv", "kernel", [0, 0]),
    ("conv", "kernel", []),
    ("conv", "kernel", [3]),
    ("conv", "stride", [0, 0]),
    ("conv", "pad", [1]),
    ("conv", "dilation", [-1, 5]),
    ("conv", "nonlinear", "FLY"),
    ("total", "type", "FLY"),
    ("w", "data", b""),
    ("w", "data", b"1"),
]


@pytest.mark.parametrize("mode", ["run", "ref"])
@pytest.mark.parametrize(("name", "attribute", "value"), DAMAGE)
def test_damaged_attributes_become_one_line(mode, name, attribute, value):
    graph = compiled()
    graph.get_op(name).set_attr(attribute, value)
    _runs_or_refuses(graph, mode)


@pytest.mark.parametrize("mode", ["run", "ref"])
@pytest.mark.parametrize("position", [-(2**31), -200, 200, 2**31 - 1])
@pytest.mark.parametrize("name", ["a", "total", "w", "conv", "y"])
def test_damaged_positions_become_one_line(mode, name, position):
    graph = compiled()
    graph.get_op(name).get_output_tensor().set_attr("fix_point", position)
    _runs_or_refuses(graph, mode)


def _runs_or_refuses(graph: xir.Graph, mode: str) -> None:
    try:
        runner = vart.Runner.create_runner(dpu_of(graph), mode)
        runner.wait(runner.execute_async(*buffers(runner)))
    except (SoftdpuError, xir.XirError) as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
