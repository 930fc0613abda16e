"""Golden vectors: inputs of the network and the outputs that any right DPU gives for them.

golden/golden.json names the model by its SHA-256 and lists the vectors; each has an input and an expected output as
raw bytes in C order, int8 (float32 where the network begins or ends on the CPU), and the image that the input came
from, or null for a vector of random numbers. Several outputs stand one behind the other in a file of expected bytes,
and their shapes and names under `outputs` and `names` instead of `output`. The raw files are also what the board's
`xdputil run` takes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from softdpu.dataset import preprocess
from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.runtime import Engine
from softdpu.runtime.program import Value


def write(card: Path, model: Path, engine: Engine, images: list[str], fit: str, scaling: preprocess.Scaling) -> None:
    """Write golden/ into the folder `card`.

    Args:
        card: the card folder, images in place.
        model: the .xmodel.
        engine: the reference engine of what the app runs of it.
        images: names of files in `card`/images.
        fit: how images become a square, see dataset.preprocess.
        scaling: what the network's input is of a pixel.

    Raises:
        SoftdpuError: if the reference engine cannot run the subgraph.
    """
    (source,), target = engine.program.inputs, engine.program.outputs
    shape = source.shape[1:]
    vectors: list[tuple[str | None, np.ndarray]] = []
    for name in images:
        pixels = preprocess.load((card / "images" / name).read_bytes(), shape[0], shape[1], fit)
        real = preprocess.scale(pixels, scaling)
        vectors.append((f"images/{name}", _as_input(real, source)))
    random = np.random.default_rng(0)
    step = 1 if source.dtype == np.int8 else fixed_point.QMAX + 1
    some = random.integers(fixed_point.QMIN, fixed_point.QMAX + 1, shape) / step
    ends = random.choice(np.array([fixed_point.QMIN, fixed_point.QMAX]), shape) / step
    vectors += [(None, array.astype(source.dtype)) for array in (some, ends)]

    outputs = [np.empty(value.shape, value.dtype) for value in target]
    entries = []
    for i, (image, array) in enumerate(vectors):
        engine.run([np.ascontiguousarray(np.broadcast_to(array, source.shape))], outputs)
        files.write_bytes(card / "golden" / f"input_{i}.bin", array.tobytes())
        files.write_bytes(card / "golden" / f"output_{i}.bin", b"".join(output[0].tobytes() for output in outputs))
        entries.append({"image": image, "input": f"input_{i}.bin", "expected": f"output_{i}.bin"})
    names = [value.name for value in target]
    shapes = [list(output.shape[1:]) for output in outputs]
    files.write_json(
        card / "golden" / "golden.json",
        {
            "model_sha256": files.sha256(model),
            "input": list(shape),
            **({"output": shapes[0]} if len(shapes) == 1 else {"outputs": shapes, "names": names}),
            "vectors": entries,
        },
    )


def _as_input(real: np.ndarray, source: Value) -> np.ndarray:
    """Return real numbers as the network takes them."""
    if source.dtype != np.int8:
        return real.astype(source.dtype)
    return fixed_point.quantize(real, source.position, fixed_point.HALF_UP)
