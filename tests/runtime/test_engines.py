"""Choosing an engine, segments, and what the log says."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from random_subgraphs import GraphMaker

from softdpu.errors import SoftdpuError
from softdpu.runtime import create_engine, engine, evaluate_graph
from softdpu.runtime.litert import selfcheck


def graph_of(*ops):
    """Return a chain of ops, each (kind, position, attributes), on one input of 4x4x2 at position 4."""
    maker = GraphMaker(np.random.default_rng(0))
    last = maker.op("data-fix", 4, {}, shape=[1, 4, 4, 2], data_type="XINT8")
    for kind, position, attrs in ops:
        last = maker.op(kind, position, {"input": [last]}, **attrs)
    return maker.graph


POOL = ("pool-fix", 4, {"kernel": [2, 2], "stride": [1, 1], "pad": [0, 0, 0, 0], "type": "MAX"})
FLIP = ("strided_slice-fix", 4, {"begin": [0, 0, 0, 0], "end": [1, 3, 3, 2], "strides": [1, 1, 1, 1]})


def run(engine, image):
    [value] = engine.program.outputs
    output = np.empty(value.shape, np.int8)
    engine.run([image], [output])
    return output


def test_op_without_exact_lowering_runs_alone_on_the_reference(monkeypatch, caplog):
    from softdpu.runtime.litert import lowering

    graph = graph_of(POOL, FLIP, POOL)
    monkeypatch.delitem(lowering.LOWERINGS, "strided_slice-fix")
    with caplog.at_level(logging.WARNING):
        fast = create_engine(graph.get_root_subgraph())
    assert fast.fallbacks == ["op3"]
    assert "op 'op3' (strided_slice-fix) runs on the slow reference engine: it has no lowering" in caplog.text
    image = np.random.default_rng(0).integers(-128, 128, (1, 4, 4, 2)).astype(np.int8)
    reference = create_engine(graph.get_root_subgraph(), "reference")
    np.testing.assert_array_equal(run(fast, image), run(reference, image))


def test_engine_by_argument_and_environment(monkeypatch):
    subgraph = graph_of(POOL).get_root_subgraph()
    assert type(create_engine(subgraph)).__name__ == "LiteRtEngine"
    monkeypatch.setenv("SOFTDPU_ENGINE", "reference")
    assert type(create_engine(subgraph)).__name__ == "ReferenceEngine"
    assert type(create_engine(subgraph, "litert")).__name__ == "LiteRtEngine"
    with pytest.raises(SoftdpuError, match="SOFTDPU_ENGINE must be one of"):
        create_engine(subgraph, "tpu")


def test_other_kernels_than_expected_are_noticed(monkeypatch, caplog):
    assert selfcheck.rounds_as_proven()
    monkeypatch.setattr(selfcheck, "rounds_as_proven", lambda: False)
    chosen = create_engine(graph_of(POOL).get_root_subgraph(), "litert")
    assert isinstance(chosen, engine.ReferenceEngine)
    assert "do not round as expected" in caplog.text


def test_selfcheck_sees_wrong_rounding(monkeypatch):
    from softdpu.runtime.litert import conv

    monkeypatch.setattr(conv, "UP", 1.0)
    assert not selfcheck.rounds_as_proven.__wrapped__()


def test_values_that_several_stages_need(monkeypatch):
    """An input, a constant and a middle value each go to the fast engine, to the reference and to the caller."""
    from softdpu.runtime.litert import lowering

    monkeypatch.delitem(lowering.LOWERINGS, "concat-fix")
    maker = GraphMaker(np.random.default_rng(0))
    data = maker.op("data-fix", 4, {}, shape=[1, 4, 4, 2], data_type="XINT8")
    constant = maker.constant(np.arange(32).reshape(1, 4, 4, 2), 4)
    total = maker.op("eltwise-fix", 4, {"input": [data, constant]}, type="ADD", nonlinear="NONE")
    joined = maker.op("concat-fix", 4, {"input": [data, constant, total]}, axis=3)
    maker.op("eltwise-fix", 4, {"input": [total, data]}, type="ADD", nonlinear="RELU")
    maker.op("download", 4, {"input": [total]})
    maker.op("download", 4, {"input": [joined]})
    maker.op("download", 4, {"input": [data]})
    subgraph = maker.graph.get_root_subgraph()
    fast, reference = create_engine(subgraph), create_engine(subgraph, "reference")
    assert fast.fallbacks == [joined.get_name()]
    image = np.random.default_rng(0).integers(-128, 128, (1, 4, 4, 2)).astype(np.int8)
    results = []
    for one in (fast, reference):
        outputs = [np.empty(value.shape, np.int8) for value in one.program.outputs]
        for _ in range(2):  # the second run meets the buffers of the first
            one.run([image], outputs)
        results.append(outputs)
    assert len(results[0]) == 4
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


WRONG_INPUTS = {
    "shape": (np.zeros((1, 4, 5, 2), np.int8), r"must have shape \[1, 4, 4, 2\], got \[1, 4, 5, 2\]"),
    "float": (np.zeros((1, 4, 4, 2), np.float32), "must be int8, got float32"),
    "no image": (np.zeros((0, 4, 4, 2), np.int8), "multiple of 1 images, got 0"),
    "name": ({"other": np.zeros((1, 4, 4, 2), np.int8)}, "needs the input"),
}


@pytest.mark.parametrize("name", WRONG_INPUTS)
def test_wrong_inputs_of_a_graph(name):
    given, message = WRONG_INPUTS[name]
    with pytest.raises(SoftdpuError, match=message):
        evaluate_graph(graph_of(POOL), given)


WRONG_OPS = {
    "pooling type": (("pool-fix", 4, {**POOL[2], "type": "MIN"}), "'op2' has pooling type MIN"),
    "pad mode": (("pad-fix", 4, {"paddings": [0] * 8, "mode": "EDGE"}), "'op2' pads by mode EDGE"),
    "eltwise type": (("eltwise-fix", 4, {"type": "SUB", "nonlinear": "NONE"}), "'op2' has the type SUB"),
    "activation": (("eltwise-fix", 4, {"type": "ADD", "nonlinear": "SINE"}), "'op2' has nonlinear SINE"),
    "no position": (("eltwise-fix", None, {"type": "ADD", "nonlinear": "NONE"}), "op 'op2' has no fix_point"),
}


@pytest.mark.parametrize("name", WRONG_OPS)
def test_wrong_ops_are_named(name):
    op, message = WRONG_OPS[name]
    with pytest.raises(SoftdpuError, match=message):
        evaluate_graph(graph_of(op), np.zeros((1, 4, 4, 2), np.int8))
    with pytest.raises(SoftdpuError, match=message):
        run(create_engine(graph_of(op).get_root_subgraph()), np.zeros((1, 4, 4, 2), np.int8))
