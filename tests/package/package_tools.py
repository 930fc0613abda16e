"""Makes tiny models and records for the tests of packaging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from record_tools import write_records

import xir
from softdpu.dataset import images
from softdpu.output import files

SIZE = 8
CLASSES = 10


def make_xmodel(path: Path, size: int = SIZE, seed: int = 0, library: str = "libvart-softdpu-runner.so") -> None:
    """Write an .xmodel with USER and DPU subgraphs: one convolution over the whole image gives 10 outputs."""
    rng = np.random.default_rng(seed)
    graph = xir.Graph("tiny")
    fix = {"bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}
    shape = {"shape": [1, size, size, 3], "data_type": "XINT8"}
    image = graph.create_op("image", "data-fix", shape, {})
    weights = _const(graph, "weights", rng.integers(-128, 128, (CLASSES, size, size, 3)).astype(np.int8))
    bias = _const(graph, "bias", rng.integers(-128, 128, (CLASSES,)).astype(np.int8))
    conv = graph.create_op(
        "conv",
        "conv2d-fix",
        {"kernel": [size, size], "stride": [1, 1], "pad": [0, 0, 0, 0], "nonlinear": "NONE", "pad_mode": "FLOOR"},
        {"input": [image], "weights": [weights], "bias": [bias]},
    )
    for op, position in ((image, 6), (weights, 9), (bias, 5), (conv, 3)):
        op.get_output_tensor().set_attrs({**fix, "fix_point": position})
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    user = root.find_child_subgraph_by_op(image)
    user.set_attrs({"device": "USER"})
    dpu = root.merge_children({root.find_child_subgraph_by_op(op) for op in (weights, bias, conv)})
    dpu.set_attrs({"device": "DPU", "runner": {"run": library, "ref": library}})
    graph.serialize(str(path))


def _const(graph: xir.Graph, name: str, data: np.ndarray) -> xir.Op:
    attrs = {"shape": list(data.shape), "data_type": "XINT8", "data": data.tobytes()}
    return graph.create_op(name, "const-fix", attrs, {})


def make_records(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` JPEG images of 9x11 pixels into two record files, with labels.txt."""
    rng = np.random.default_rng(seed)
    for shard, numbers in enumerate(np.array_split(np.arange(count), 2)):
        jpegs = [images.encode_jpeg(rng.integers(0, 256, (9, 11, 3)).astype(np.uint8)) for _ in numbers]
        labels = [int(number) % CLASSES for number in numbers]
        write_records(folder / f"data_{shard}.tfrecord", zip(labels, jpegs, strict=True))
    files.write_text(folder / "labels.txt", "".join(f"class {k}\n" for k in range(CLASSES)))
