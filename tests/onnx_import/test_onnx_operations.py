"""Random graphs over the importer's operations give onnxruntime's numbers; none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")

from random_graphs import compare, random_model

SEEDS = range(40)


def test_random_graphs_give_the_numbers_of_onnxruntime(tmp_path: Path) -> None:
    wrong = {seed: message for seed in SEEDS if (message := compare(seed, tmp_path)[0])}
    assert not wrong


def test_the_seeds_reach_most_operations() -> None:
    seen = {op for seed in SEEDS for op in random_model(seed)[1]}
    assert len(seen) > 30
