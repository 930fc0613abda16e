"""Golden vectors: int8 inputs of the network and the outputs that any right DPU gives for them.

golden/golden.json names the model by its SHA-256 and lists the vectors; each has an input and an expected output as
raw int8 bytes in C order, and the image that the input came from, or null for a vector of random numbers. The raw
files are also what the board's `xdputil run` takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from softdpu.dataset import preprocess
from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.runtime import create_engine


def write(card: Path, model: Path, subgraph: Any, images: list[str], fit: str, scaling: preprocess.Scaling) -> None:
    """Write golden/ into the folder `card`.

    Args:
        card: the card folder, images in place.
        model: the .xmodel.
        subgraph: its DPU subgraph.
        images: names of files in `card`/images.
        fit: how images become a square, see dataset.preprocess.
        scaling: what the network's input is of a pixel.

    Raises:
        SoftdpuError: if the reference engine cannot run the subgraph.
    """
    engine = create_engine(subgraph, "reference")
    (source,), target = engine.program.inputs, engine.program.outputs
    shape = source.shape[1:]
    vectors: list[tuple[str | None, np.ndarray]] = []
    for name in images:
        pixels = preprocess.load((card / "images" / name).read_bytes(), shape[0], shape[1], fit)
        real = preprocess.scale(pixels, scaling)
        vectors.append((f"images/{name}", fixed_point.quantize(real, source.position, fixed_point.HALF_UP)))
    random = np.random.default_rng(0)
    vectors.append((None, random.integers(fixed_point.QMIN, fixed_point.QMAX + 1, shape).astype(np.int8)))
    vectors.append((None, random.choice(np.array([fixed_point.QMIN, fixed_point.QMAX], np.int8), shape)))

    outputs = [np.empty(value.shape, np.int8) for value in target]
    entries = []
    for i, (image, array) in enumerate(vectors):
        engine.run([np.ascontiguousarray(np.broadcast_to(array, source.shape))], outputs)
        files.write_bytes(card / "golden" / f"input_{i}.bin", array.tobytes())
        files.write_bytes(card / "golden" / f"output_{i}.bin", outputs[0][0].tobytes())
        entries.append({"image": image, "input": f"input_{i}.bin", "expected": f"output_{i}.bin"})
    files.write_json(
        card / "golden" / "golden.json",
        {
            "model_sha256": files.sha256(model),
            "input": list(shape),
            "output": list(outputs[0].shape[1:]),
            "vectors": entries,
        },
    )
