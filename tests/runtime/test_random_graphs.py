"""One truth: definition, reference engine and fast engine agree on random graphs, number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from definition import define
from random_subgraphs import random_graph, random_inputs

from softdpu.numbers import fixed_point
from softdpu.runtime import create_engine

DEFINED, COMPARED = 400, 3000


class Ties:
    """Counts the numbers that are rounded and those that lie exactly between two steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounded = self.ties = 0
        self._plain = fixed_point.shift_right
        monkeypatch.setattr(fixed_point, "shift_right", self._count)

    def _count(self, x: np.ndarray, shift: int) -> np.ndarray:
        self.rounded += x.size
        if 0 < shift < 62 and x.dtype != object:
            self.ties += int(np.count_nonzero((x & ((1 << shift) - 1)) == 1 << (shift - 1)))
        return self._plain(x, shift)


def run(engine, named):
    outputs = [np.empty(value.shape, value.dtype) for value in engine.program.outputs]
    engine.run([named[value.key] for value in engine.program.inputs], outputs)
    return {value.key: array for value, array in zip(engine.program.outputs, outputs, strict=True)}


def test_reference_is_the_definition(monkeypatch, capsys):
    ties, outputs, kinds = Ties(monkeypatch), 0, set()
    seed = graphs = 0
    while graphs < DEFINED:
        seed += 1
        graph = random_graph(seed, most_ops=3)
        ops = [op for op in graph.get_ops() if op.get_type() not in ("const-fix", "data-fix")]
        if sum(math.prod(op.get_output_tensor().dims) for op in ops) > 700:
            continue
        graphs += 1
        kinds |= {op.get_type() for op in ops}
        inputs = random_inputs(graph, seed)
        expected = define(graph, inputs)
        for key, array in run(create_engine(graph.get_root_subgraph(), "reference"), inputs).items():
            outputs += array.size
            np.testing.assert_array_equal(array, expected[key], err_msg=f"seed {seed}, op {key}")
    assert len(kinds) == 21, kinds
    assert ties.ties > 500
    with capsys.disabled():
        print(f"\n  definition == reference: {graphs} graphs, {outputs} outputs, {ties.ties} ties, 0 mismatches")


def test_fast_engine_is_the_reference(monkeypatch, capsys):
    ties, outputs, fallbacks, ops = Ties(monkeypatch), 0, 0, 0
    for seed in range(100_000, 100_000 + COMPARED):
        graph = random_graph(seed)
        inputs = random_inputs(graph, seed)
        reference = create_engine(graph.get_root_subgraph(), "reference")
        fast = create_engine(graph.get_root_subgraph(), "litert")
        expected, got = run(reference, inputs), run(fast, inputs)
        ops += len(reference.program.nodes)
        fallbacks += len(fast.fallbacks)
        for key, array in got.items():
            outputs += array.size
            assert (array == expected[key]).all(), f"seed {seed}, op {key}"
    assert ties.ties > 50_000
    assert fallbacks < 0.2 * ops  # most of what is compared really ran on LiteRT
    with capsys.disabled():
        print(
            f"\n  reference == LiteRT: {COMPARED} graphs, {outputs} outputs, {ties.ties} ties, 0 mismatches; "
            f"{fallbacks} of {ops} ops on the reference"
        )
