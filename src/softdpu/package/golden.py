"""Golden vectors: inputs of the network and the outputs that any right DPU gives for them.

golden/golden.json names the model by its SHA-256 and lists the vectors; each has an input and an expected output as
raw bytes in C order, int8 (float32 where the network begins or ends on the CPU), and the image that the input came
from, or null for a vector of random numbers. Several outputs stand one behind the other in a file of expected bytes,
and their shapes and names under `outputs` and `names` instead of `output`; so do several inputs, under `inputs` and
`input_names`. The raw files of one input are also what the board's `xdputil run` takes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.package.examples import Examples, Source
from softdpu.runtime import Engine
from softdpu.runtime.program import Value


def write(card: Path, model: Path, engine: Engine, images: list[str]) -> None:
    """Write golden/ into the folder `card`.

    Args:
        card: the card folder, images and preprocess.json in place.
        model: the .xmodel.
        engine: the reference engine of what the app runs of it.
        images: names of files in `card`/images.

    Raises:
        SoftdpuError: if the reference engine cannot run the subgraph.
    """
    inputs, target = engine.program.inputs, engine.program.outputs
    examples, sources = Examples(card), [_describe(value) for value in inputs]
    vectors: list[tuple[str | None, list[np.ndarray]]] = [
        (f"images/{name}", [values[0] for values in examples.quantized([name], sources)]) for name in images
    ]
    random = np.random.default_rng(0)
    steps = [1 if value.dtype == np.int8 else fixed_point.QMAX + 1 for value in inputs]
    shapes = [value.shape[1:] for value in inputs]
    low, high = fixed_point.QMIN, fixed_point.QMAX
    some = [random.integers(low, high + 1, shape) / step for shape, step in zip(shapes, steps, strict=True)]
    ends = [random.choice(np.array([low, high]), shape) / step for shape, step in zip(shapes, steps, strict=True)]
    for drawn in (some, ends):
        vectors.append((None, [array.astype(value.dtype) for array, value in zip(drawn, inputs, strict=True)]))

    outputs = [np.empty(value.shape, value.dtype) for value in target]
    entries = []
    for i, (image, given) in enumerate(vectors):
        batches = [np.broadcast_to(array, value.shape) for array, value in zip(given, inputs, strict=True)]
        engine.run([*map(np.ascontiguousarray, batches)], outputs)
        files.write_bytes(card / "golden" / f"input_{i}.bin", b"".join(array.tobytes() for array in given))
        files.write_bytes(card / "golden" / f"output_{i}.bin", b"".join(output[0].tobytes() for output in outputs))
        entries.append({"image": image, "input": f"input_{i}.bin", "expected": f"output_{i}.bin"})
    taken = [list(shape) for shape in shapes]
    given_names, names = [value.name for value in inputs], [value.name for value in target]
    made = [list(output.shape[1:]) for output in outputs]
    files.write_json(
        card / "golden" / "golden.json",
        {
            "model_sha256": files.sha256(model),
            **({"input": taken[0]} if len(taken) == 1 else {"inputs": taken, "input_names": given_names}),
            **({"output": made[0]} if len(made) == 1 else {"outputs": made, "names": names}),
            "vectors": entries,
        },
    )


def _describe(value: Value) -> Source:
    return Source(value.name, tuple(value.shape[1:]), value.position if value.dtype == np.int8 else None)
