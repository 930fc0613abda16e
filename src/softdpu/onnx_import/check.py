"""An imported model against onnxruntime, on random images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.onnx_import.convert import Imported
from softdpu.onnx_import.load import load
from softdpu.onnx_import.value import Value


def differences(imported: Imported, images: int = 2, seed: int = 0) -> dict[str, float]:
    """Return for each output the largest difference from onnxruntime's, divided by its largest absolute value.

    What a sigmoid makes is divided by 1: onnxruntime's own is right to some 1e-7 of 1, however small all values are.

    Args:
        imported: what convert.import_onnx gives.
        images: random ones, uniform in 0..1.
        seed: of the random numbers.

    Raises:
        SoftdpuError: if onnxruntime is not installed or cannot run the file.
    """
    random = np.random.default_rng(seed)
    worst: dict[str, float] = {}
    names = [name for name, _ in imported.outputs]
    run = _session(imported.path, names)
    for _ in range(images):
        feeds = {name: random.random(value.shape, np.float32) for name, value in imported.inputs}
        expected = run(feeds)
        for (name, value), mine, other in zip(imported.outputs, predict(imported, feeds), expected, strict=True):
            scale = 1.0 if _is_sigmoid(value) else float(np.abs(other).max(initial=0)) or 1.0
            worst[name] = max(worst.get(name, 0.0), _difference(mine, other) / scale)
    return worst


def _is_sigmoid(value: Value) -> bool:
    layer = value.tensor.node.layer
    return type(layer).__name__ == "Activation" and layer.get_config()["activation"] == "sigmoid"


def _difference(mine: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of two arrays; infinite if either is not finite."""
    if mine.shape != other.shape or not (np.isfinite(mine).all() and np.isfinite(other).all()):
        return float("inf")
    return float(np.abs(mine.astype(np.float64) - other).max(initial=0))


def predict(imported: Imported, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Return what the Keras model makes of inputs in the file's order of axes, in that order too."""
    inputs = [feeds[name].transpose(value.order) for name, value in imported.inputs]
    made = imported.model(inputs if len(inputs) > 1 else inputs[0], training=False)
    made = made if isinstance(made, (list, tuple)) else [made]
    return [order_as_file(np.asarray(tensor), value) for tensor, (_, value) in zip(made, imported.outputs, strict=True)]


def order_as_file(array: np.ndarray, value: Value) -> np.ndarray:
    """Return an array of a Keras tensor with its axes as the ONNX file has them."""
    return array.transpose(np.argsort(value.order))


def _session(path: Path, outputs: list[str]) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise SoftdpuError("--check needs the package onnxruntime: pip install onnxruntime") from None
    import onnx

    model = load(path)
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise SoftdpuError(f"{path}: onnxruntime cannot run it: {text}") from None
    types = {value.name: np.float16 if "float16" in value.type else np.float32 for value in session.get_inputs()}
    return lambda feeds: session.run(outputs, {name: value.astype(types[name]) for name, value in feeds.items()})
