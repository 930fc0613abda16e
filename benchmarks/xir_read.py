"""Print how fast `xir` is: its import, reading a 4 MB file, and graphs of growing size.

    python benchmarks/xir_read.py

Times are the best of several runs. The bare protobuf parser, which reads the same bytes without making a graph of
them, is the peer that the ratio is taken against. Bars: import and reading 4 MB under 0.2 s each, time linear in the
number of ops (the last column, microseconds an op, stays level).
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import xir
from xir.messages import GraphMessage

SIZES = (500, 1000, 5000)


def best(action: Callable[[], object], repeats: int = 5) -> float:
    """Return the shortest processor time of `action` in seconds."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def import_seconds() -> float:
    """Return the wall-clock seconds that `import xir` takes in a new process, beyond an empty one."""

    def wall(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    return min(wall("import xir") for _ in range(5)) - min(wall("") for _ in range(5))


def build(ops: int, constant_bytes: int = 64) -> xir.Graph:
    """Return a chain of convolutions with `ops` ops, in a tree of one super-layer each."""
    graph = xir.Graph(f"chain of {ops}")
    previous = graph.create_op("image", "data-fix", {"shape": [1, 8, 8, 8], "data_type": "xint8"})
    image = previous
    channels = max(8, constant_bytes // 8)
    fix = {"fix_point": 4, "bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}
    shape = {"shape": [channels, 1, 1, 8], "data_type": "xint8"}
    window = {"kernel": [1, 1], "stride": [1, 1], "workload": 1024, "device": "DPU"}
    for index in range((ops - 1) // 2):
        data = bytes([index % 251]) * (8 * channels)
        weights = graph.create_op(f"w{index}", "const-fix", {**shape, "data": data})
        source = previous if channels == 8 else image
        previous = graph.create_op(f"c{index}", "conv2d-fix", window, {"input": [source], "weights": [weights]})
        previous.get_output_tensor().set_attrs(fix)
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    leaves = {leaf.get_name(): leaf for leaf in root.get_children()}
    for index in range((ops - 1) // 2):
        root.merge_children({leaves[f"subgraph_w{index}"], leaves[f"subgraph_c{index}"]})
    return graph


def sort(graph: xir.Graph) -> None:
    """Sort the ops and the subgraphs."""
    graph.toposort()
    graph.get_root_subgraph().toposort_child_subgraph()


def main() -> None:
    """Print the measurements."""
    print(f"import xir                       {import_seconds():8.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "four.xmodel"
        build(401, constant_bytes=20_000).serialize(path)
        data = path.read_bytes()
        reading = best(functools.partial(xir.Graph.deserialize, path))
        peer = best(functools.partial(GraphMessage.FromString, data))
        print(
            f"read {len(data) / 1e6:.1f} MB, 401 ops            {reading:8.3f} s, {reading / peer:.1f} x bare protobuf"
        )
    print("\n  ops   build   toposort  write    read     microseconds an op")
    for ops in SIZES:
        graph = build(ops)
        data = graph.serialize_to_string()
        columns = (
            best(functools.partial(build, ops), 3),
            best(functools.partial(sort, graph)),
            best(graph.serialize_to_string),
            best(functools.partial(xir.Graph.deserialize_from_string, data)),
        )
        print(f"{ops:5d}" + "".join(f"{seconds:8.3f}" for seconds in columns) + f"{1e6 * sum(columns) / ops:12.1f}")


if __name__ == "__main__":
    main()
