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
import zlib
from pathlib import Path
from typing import Any

import numpy as np

import vart
import vitis_ai_library
from softdpu.dataset import masks
from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point, segmentation
from softdpu.output import files
from softdpu.package import network
from softdpu.package.examples import Examples, Source
from softdpu.package.manifest import MODEL, find_app
from softdpu.package.outputs import match

BATCH = 25
_RESULT = r"^(Correct:|Mean IoU:|Output |Detections:).*$"  # the line of an app with its result


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
    printed, report = _run_app(folder, min(threads, len(names)))
    examples = Examples(folder)
    compiled = network.read(folder / MODEL)
    outputs, checksums = _run_target(compiled, names, examples)
    expected = _run_keras(model, names, examples)
    sizes = [[array[0].size for array in found.values()] for found in (expected, outputs)]
    target = list(outputs.values())
    order = match(list(expected), sizes[0], list(outputs), sizes[1])
    # behind a soft maximum on the CPU, which is no step of int8, float32's last digit may differ
    limit = 1e-6 if compiled.whole else 0
    pairs = [(target[order[i]], wanted) for i, wanted in enumerate(expected.values())]
    found: dict[str, Any] = {
        "images": len(names),
        "printed": printed,
        "logits": sum(wanted.size for wanted in expected.values()),
        "different_logits": sum(int((abs(out.reshape(wanted.shape) - wanted) > limit).sum()) for out, wanted in pairs),
    }
    if "classes" in report:
        wanted_line = _check_classes(found, report, names, next(iter(expected.values())))
    else:
        found["different_images"] = [name for name in names if report["checksums"].get(name) != checksums[name]]
        wanted_line = _measure_masks(found, folder, names, expected) if "mean_iou" in report else printed
    files.write_json(output, found)
    different = found["different_classes"] if "classes" in report else found["different_images"]
    if found["different_logits"] or different or printed != wanted_line:
        raise SoftdpuError(
            f"{folder} is not {model}: {found['different_logits']} of {found['logits']} outputs and"
            f" the results of {len(different)} of {len(names)} images differ; the app prints '{printed}', the Keras"
            f" model gives '{wanted_line}'"
        )
    print(f"note: {folder} equals {model}: {len(names)} images, {found['logits']} outputs, 0 differences; {printed}")


def _check_classes(found: dict[str, Any], report: dict[str, Any], names: list[str], expected: np.ndarray) -> str:
    """Compare the classes that the app found with those of the Keras model; return the line that it should print."""
    labels = np.array([int(name.split("_")[0]) for name in names])
    rows = expected.reshape(len(names), -1)
    right = int((rows.argmax(axis=1) == labels).sum())
    classes = report["classes"]
    found["accuracy"] = right / len(names)
    found["different_classes"] = [
        name for name, row in zip(names, rows, strict=True) if classes.get(name) != row.argmax()
    ]
    return f"Correct:{right}, Wrong:{len(names) - right}, Accuracy:{right / len(names):.4f}"


def _measure_masks(found: dict[str, Any], folder: Path, names: list[str], expected: dict[str, np.ndarray]) -> str:
    """Measure the Keras model's masks and return the line that the app should print."""
    logits = next(iter(expected.values()))
    matrix = np.zeros((logits.shape[-1], logits.shape[-1]), np.int64)
    for name, one in zip(names, logits, strict=True):
        truth = masks.decode((folder / "masks" / name).read_bytes())
        matrix += segmentation.count_pixels(truth, one.argmax(axis=-1), logits.shape[-1])
    measured = segmentation.measure(matrix)
    found["mean_iou"], found["accuracy"] = measured["mean_iou"], measured["accuracy"]
    return f"Mean IoU: {measured['mean_iou']:.4f}, pixel accuracy: {measured['accuracy']:.4f}"


def _run_app(folder: Path, threads: int) -> tuple[str, dict[str, Any]]:
    """Run the app in its folder; return the line with its result, and its JSON."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        app = find_app(folder)
        command = [sys.executable, app, "--threads", str(threads), "--json", str(result)]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        line = re.search(_RESULT, process.stdout, re.MULTILINE)
        if process.returncode or not line:
            raise SoftdpuError(f"{folder / app} failed: {process.stderr.strip()[-500:]}")
        return line[0], json.loads(result.read_text(encoding="utf-8"))


def create_runner(compiled: network.Network) -> vart.Runner:
    """Return a runner as the app makes it; packaging needs none, so that an edit to vart packages nothing again."""
    if compiled.whole:
        return vitis_ai_library.GraphRunner.create_graph_runner(compiled.graph)
    return vart.Runner.create_runner(compiled.parts[0], "run")


def _run_target(
    compiled: network.Network, names: list[str], examples: Examples
) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Return each output of all images as real numbers, preprocessed by the pipeline's own functions, and checksums.

    The outputs are by name, the checksums by image, those of each in the order of the outputs' names, as the app's are.
    """
    runner = create_runner(compiled)
    sources, targets = runner.get_input_tensors(), runner.get_output_tensors()
    inputs, outputs = (
        [np.zeros(tuple(tensor.dims), tensor.dtype.lstrip("x")) for tensor in tensors] for tensors in (sources, targets)
    )
    found: list[list[np.ndarray]] = [[] for _ in targets]
    checksums = {}
    by_name = sorted(range(len(targets)), key=lambda k: targets[k].name)
    for start in range(0, len(names), len(inputs[0])):
        some = names[start : start + len(inputs[0])]
        for batch, values in zip(inputs, examples.quantized(some, [*map(Source.of, sources)]), strict=True):
            batch[: len(some)] = values
        runner.wait(runner.execute_async(inputs, outputs))
        for kept, output in zip(found, outputs, strict=True):
            kept.append(output[: len(some)].copy())
        for i, name in enumerate(some):
            checksums[name] = [zlib.crc32(outputs[k][i].tobytes()) for k in by_name]
    return {
        tensor.name: _dequantize(np.concatenate(kept), tensor) for kept, tensor in zip(found, targets, strict=True)
    }, checksums


def _dequantize(output: np.ndarray, tensor: Any) -> np.ndarray:
    return fixed_point.dequantize(output, int(tensor.get_attr("fix_point"))) if output.dtype == np.int8 else output


def _run_keras(model: Path, names: list[str], examples: Examples) -> dict[str, np.ndarray]:
    """Return each output of the Keras model by name, float32[images, ...]."""
    from softdpu.training.common import inputs_of  # TensorFlow starts slowly; a wrong folder is told before
    from softdpu.training.quantization import load

    keras_model: Any = load(str(model))
    found: list[list[np.ndarray]] = [[] for _ in keras_model.outputs]
    for start in range(0, len(names), BATCH):
        outputs = keras_model.predict_on_batch(examples.read(names[start : start + BATCH], inputs_of(keras_model)))
        for kept, output in zip(found, outputs if isinstance(outputs, list) else [outputs], strict=True):
            kept.append(np.asarray(output, np.float32))
    return {name: np.concatenate(kept) for name, kept in zip(keras_model.output_names, found, strict=True)}
