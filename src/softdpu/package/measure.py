"""What an app's results are worth where the app itself cannot say it: measured on the PC, on the images of the card."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers.similarity import Similarity
from softdpu.output import files
from softdpu.package.examples import Examples
from softdpu.package.outputs import match

BATCH = 25

# By task, "module:function": (results, card folder, float model or None) -> metrics as in metrics.json.
MEASURES = {"detection": "softdpu.package.boxes:measure_boxes", "none": "softdpu.package.measure:measure_similarity"}


def measure(task: str, results: Path, card: Path, reference: Path | None, output: Path) -> None:
    """Measure what an app has found and write it as JSON, in the form of metrics.json.

    Args:
        task: a name of softdpu.tasks whose apps write results.
        results: the file that the app wrote.
        card: its folder.
        reference: the float .h5, for tasks that compare with it.
        output: path of the JSON.

    Raises:
        SoftdpuError: if a file is missing, or they are not of one build.
    """
    module, _, name = MEASURES[task].partition(":")
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), name)
    files.write_json(output, function(results, card, reference))


def measure_similarity(results: Path, card: Path, reference: Path | None) -> dict[str, Any]:
    """Return {"images", "outputs": [{"name", "sqnr" (dB), "cosine"}]}: the app's outputs against the float network's.

    Args:
        results: .npz of app_raw.py: images and outputs (names), steps, output_0 [images, ...], output_1, ...
        card: its folder.
        reference: the float .h5.

    Raises:
        SoftdpuError: as `measure`.
    """
    from softdpu.training.common import inputs_of  # TensorFlow starts slowly; a wrong file is told before
    from softdpu.training.quantization import load

    try:
        with np.load(results, allow_pickle=False) as held:
            names, tensors, steps = held["images"].tolist(), held["outputs"].tolist(), held["steps"]
            found = [held[f"output_{i}"] for i in range(len(steps))]
    except (OSError, ValueError, KeyError) as error:
        raise SoftdpuError(f"{results}: expected the outputs that app_raw.py wrote ({error}); run it again") from None
    if reference is None:
        raise SoftdpuError(f"{results}: outputs are compared with the float model; name it (--reference)")
    model, examples = load(reference), Examples(card)
    sums = [Similarity() for _ in model.outputs]
    sizes = [int(np.prod(output.shape[1:])) for output in model.outputs]
    order = match(model.output_names, sizes, tensors, [output[0].size for output in found])
    for start in range(0, len(names), BATCH):
        wanted = model.predict_on_batch(examples.read(names[start : start + BATCH], inputs_of(model)))
        for i, real in enumerate(wanted if isinstance(wanted, list) else [wanted]):
            sums[i].add(real, found[order[i]][start : start + BATCH].astype(np.float64) * steps[order[i]])
    outputs = [{"name": name, **total.as_dict()} for name, total in zip(model.output_names, sums, strict=True)]
    return {"images": len(names), "outputs": outputs}
