"""Proof that a card folder is the network that was trained: its app's results against the quantized Keras model's.

Every image of the card goes through the Keras model and through the app; the outputs as real numbers must be the
model's bit for bit, the predicted classes the same image by image, and so the accuracy that is printed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import vart
import vitis_ai_library
from softdpu.dataset import preprocess
from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point
from softdpu.output import files
from softdpu.package import network
from softdpu.package.manifest import APP, MODEL, PREPROCESS

BATCH = 100


def check(folder: Path, model: Path, output: Path, threads: int = 2) -> None:
    """Compare the card folder with the quantized Keras model, print one line and write the findings as JSON.

    Args:
        folder: the card folder.
        model: the quantized .h5 that the .xmodel was compiled from.
        output: path of the JSON file.
        threads: for the app.

    Raises:
        SoftdpuError: after writing the findings, if anything differs; or if the app does not run.
    """
    if not (folder / "images").is_dir():
        raise SoftdpuError(f"{folder} is no card folder, it holds no images/; build it first")
    names = sorted(path.name for path in (folder / "images").iterdir())
    printed, classes = _run_app(folder, min(threads, len(names)))
    settings = json.loads((folder / PREPROCESS).read_text(encoding="utf-8"))
    scaling = preprocess.from_dict(settings["scaling"]) if "scaling" in settings else preprocess.TF
    compiled = network.read(folder / MODEL)
    outputs = _run_target(compiled, [folder / "images" / name for name in names], scaling)
    expected = _run_keras(model, folder, names, scaling)
    target = outputs.reshape(expected.shape)
    labels = np.array([int(name.split("_")[0]) for name in names])
    right = int((expected.argmax(axis=1) == labels).sum())
    different = [name for name, row in zip(names, expected, strict=True) if classes.get(name) != row.argmax()]
    found = {
        "images": len(names),
        "accuracy": right / len(names),
        "printed": printed,
        "logits": int(expected.size),
        # behind a soft maximum on the CPU, which is no step of int8, float32's last digit may differ
        "different_logits": int((abs(target - expected) > (1e-6 if compiled.whole else 0)).sum()),
        "different_classes": different,
    }
    files.write_json(output, found)
    wanted = f"Correct:{right}, Wrong:{len(names) - right}, Accuracy:{right / len(names):.4f}"
    if found["different_logits"] or different or printed != wanted:
        raise SoftdpuError(
            f"{folder} is not {model}: {found['different_logits']} of {found['logits']} outputs and"
            f" {len(different)} of {len(names)} classes differ; the app prints '{printed}', the Keras"
            f" model gives '{wanted}'"
        )
    print(f"note: {folder} equals {model}: {len(names)} images, {expected.size} outputs, 0 differences; {printed}")


def _run_app(folder: Path, threads: int) -> tuple[str, dict[str, int]]:
    """Run the app in its folder; return its accuracy line and the classes by image."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        command = [sys.executable, APP, "--threads", str(threads), "--json", str(result)]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        line = re.search(r"^Correct:.*$", process.stdout, re.MULTILINE)
        if process.returncode or not line:
            raise SoftdpuError(f"{folder / APP} failed: {process.stderr.strip()[-500:]}")
        return line[0], json.loads(result.read_text(encoding="utf-8"))["classes"]


def create_runner(compiled: network.Network) -> Any:
    """Return a runner as the app makes it; packaging needs none, so that an edit to vart packages nothing again."""
    if compiled.whole:
        return vitis_ai_library.GraphRunner.create_graph_runner(compiled.graph)
    return vart.Runner.create_runner(compiled.parts[0], "run")


def _run_target(compiled: network.Network, paths: list[Path], scaling: preprocess.Scaling) -> np.ndarray:
    """Return the outputs of all images as real numbers, preprocessed by the pipeline's own functions."""
    runner = create_runner(compiled)
    (source,), targets = runner.get_input_tensors(), runner.get_output_tensors()
    batch, *outputs = (np.zeros(tuple(tensor.dims), tensor.dtype.lstrip("x")) for tensor in (source, *targets))
    found = []
    for start in range(0, len(paths), len(batch)):
        some = paths[start : start + len(batch)]
        for place, path in zip(batch, some, strict=False):
            real = preprocess.scale(preprocess.decode(path.read_bytes())[..., ::-1], scaling)
            if batch.dtype == np.int8:
                real = fixed_point.quantize(real, int(source.get_attr("fix_point")), fixed_point.HALF_UP)
            place[...] = real
        runner.wait(runner.execute_async([batch], outputs))
        found.append(outputs[0][: len(some)].copy())
    logits = np.concatenate(found)
    if logits.dtype != np.int8:
        return logits
    return fixed_point.dequantize(logits, int(targets[0].get_attr("fix_point")))


def _run_keras(model: Path, folder: Path, names: list[str], scaling: preprocess.Scaling) -> np.ndarray:
    """Return the Keras model's outputs, float32[images, classes]."""
    from softdpu.training.quantization import load  # TensorFlow starts slowly; a wrong folder is told before

    keras_model: Any = load(str(model))
    found = []
    for start in range(0, len(names), BATCH):
        some = [(folder / "images" / name).read_bytes() for name in names[start : start + BATCH]]
        images = np.stack([preprocess.scale(preprocess.decode(data)[..., ::-1], scaling) for data in some])
        found.append(np.asarray(keras_model.predict_on_batch(images), np.float32))
    return np.concatenate(found).reshape(len(names), -1)
