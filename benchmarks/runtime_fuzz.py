"""Compare the two engines on random graphs: python benchmarks/runtime_fuzz.py --graphs 20000."""

from __future__ import annotations

import argparse
import collections
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.numbers import fixed_point
from softdpu.runtime import create_engine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "runtime"))
from random_subgraphs import random_graph, random_inputs  # type: ignore[import-not-found]


class TieCounter:
    """Counts, inside a `with`, the numbers that fixed_point rounds and those that lie exactly between two steps."""

    def __init__(self) -> None:
        self.rounded = self.ties = 0
        self._plain = fixed_point.shift_right

    def __enter__(self) -> TieCounter:
        fixed_point.shift_right = self._count
        return self

    def __exit__(self, *_: object) -> None:
        fixed_point.shift_right = self._plain

    def _count(self, x: np.ndarray, shift: int) -> np.ndarray:
        self.rounded += x.size
        if 0 < shift < 62 and x.dtype != object:
            self.ties += int(np.count_nonzero((x & ((1 << shift) - 1)) == 1 << (shift - 1)))
        return self._plain(x, shift)


def compare(seed: int, counts: collections.Counter[str]) -> int:
    """Run one random graph on both engines, count, and return the number of different bytes."""
    graph = random_graph(seed)
    subgraph = graph.get_root_subgraph()
    reference, fast = create_engine(subgraph, "reference"), create_engine(subgraph, "litert")
    named = random_inputs(graph, seed)
    inputs = [named[value.key] for value in reference.program.inputs]
    expected, got = _run(reference, inputs), _run(fast, inputs)
    counts["outputs"] += sum(array.size for array in expected)
    counts["saturated"] += sum(int(np.isin(array, (-128, 127)).sum()) for array in expected)
    counts["ops"] += len(reference.program.nodes)
    for name in fast.fallbacks:  # type: ignore[attr-defined]
        counts["ops on the reference"] += 1
        counts["fallback " + graph.get_op(name).get_type()] += 1
    return sum(int((a != b).sum()) for a, b in zip(expected, got, strict=True))


def _run(engine: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    outputs = [np.empty(value.shape, value.dtype) for value in engine.program.outputs]
    engine.run(inputs, outputs)
    return outputs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=5000, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="number of the first graph (default %(default)s)")
    arguments = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    bad = []
    start = time.process_time()
    with TieCounter() as counter:
        for seed in range(arguments.seed, arguments.seed + arguments.graphs):
            if compare(seed, counts):
                bad.append(seed)
    print(
        f"graphs {arguments.graphs}  ops {counts['ops']}  outputs {counts['outputs']}  "
        f"rounded {counter.rounded}  ties {counter.ties}  saturated {counts['saturated']}  "
        f"graphs with mismatches {len(bad)} {bad[:10]}  CPU {time.process_time() - start:.1f} s"
    )
    print(f"ops on the reference {counts['ops on the reference']}:")
    for name, count in sorted(counts.items()):
        if name.startswith("fallback"):
            print(f"  {name[9:]} {count}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
