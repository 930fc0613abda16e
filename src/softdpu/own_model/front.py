"""What stands before a network's first real layer: scaling of pixels, which the card does, and random augmentation.

A DPU has no layer for either. So these layers are taken out, and the pixels get the scaling that they did.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.dataset.preprocess import SCALINGS, Scaling
from softdpu.errors import SoftdpuError
from softdpu.keras2.kinds import MODELS, SCALING_LAYERS
from softdpu.own_model.keras3 import is_identity
from softdpu.own_model.model_file import ModelFile, read

ONNX = ".onnx"


def input_scaling(
    path: Path, named: str | None, outputs: list[str] | None = None, size: tuple[int, int] = (224, 224)
) -> Scaling:
    """Return what the network behind the scaling layers of a model file takes for a pixel.

    Args:
        path: of an .h5, .keras or .onnx.
        named: a name of preprocess.SCALINGS, what the file's own input takes; None means raw pixels for a file that
            scales them itself, and -1..1 for any other.
        outputs: of an .onnx, where the network ends; None for its own outputs.
        size: height and width where an .onnx leaves them open.

    Raises:
        SoftdpuError: as model_file.read, or onnx_import.convert.graph_of.
    """
    if path.suffix.lower() == ONNX:
        from softdpu.onnx_import.front import read_ends  # few networks are ONNX

        steps = read_ends(path, outputs, size).scalings
        scaling = SCALINGS[named or ("raw" if steps else "tf")]
        for factor, offset in steps:
            scaling = scaling.then(factor, offset)
        return scaling
    file = read(path)
    layers = [entry for entry in find_leading(file.config) if entry["class_name"] in SCALING_LAYERS]
    scaling = SCALINGS[named or ("raw" if layers else "tf")]
    for entry in layers:
        scaling = scaling.then(*_factor_and_offset(entry, file))
    return scaling


def find_leading(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the layers that scale or augment, from a model's input on, nested models included."""
    for entry in _chain(model["config"], model["class_name"]):
        if entry["class_name"] in MODELS:
            yield from find_leading(entry)
            if not _is_only_front(entry):
                return
        elif entry["class_name"] in SCALING_LAYERS or is_identity(entry["class_name"], entry["config"]):
            yield entry
        else:
            return


def _is_only_front(model: dict[str, Any]) -> bool:
    inner = [entry for entry in model["config"]["layers"] if entry["class_name"] != "InputLayer"]
    return len(list(find_leading(model))) == len(inner)


def _chain(config: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    """Yield the layers that follow the input one after another, up to where the network branches."""
    if kind == "Sequential":
        yield from (entry for entry in config["layers"] if entry["class_name"] != "InputLayer")
        return
    if len(config["input_layers"]) != 1:
        return
    name = config["input_layers"][0][0]
    while True:
        readers = [entry for entry in config["layers"] for call in entry["inbound_nodes"] if name in _names(call)]
        if len(readers) != 1 or len(readers[0]["inbound_nodes"]) != 1:
            return
        yield readers[0]
        name = readers[0]["name"]


def _names(call: Any) -> list[str]:
    refs = [call] if call and isinstance(call[0], str) else call
    return [ref[0] for ref in refs]


def _factor_and_offset(entry: dict[str, Any], file: ModelFile) -> tuple[Any, Any]:
    config = entry["config"]
    if entry["class_name"] == "Rescaling":
        return config["scale"], config.get("offset", 0.0)
    mean, variance = config.get("mean"), config.get("variance")
    if mean is None or variance is None:
        mean, variance = _statistics(entry["name"], file)
    deviation = np.maximum(np.sqrt(np.asarray(variance, np.float64).reshape(-1)), 1e-7)
    return 1 / deviation, -np.asarray(mean, np.float64).reshape(-1) / deviation


def _statistics(name: str, file: ModelFile) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of a Normalization layer."""
    found: dict[str, np.ndarray] = {}

    def visit(path: str, item: Any) -> None:
        parts = path.split("/")
        ours = name in parts[:-1] or parts[-3:-2] == ["normalization"]  # an .h5 has names, a .keras has classes
        if hasattr(item, "shape") and ours:
            key = {"0": "mean", "1": "variance"}.get(parts[-1], parts[-1].split(":")[0])
            found.setdefault(key, np.asarray(item))

    with file.weights() as weights:
        weights.visititems(visit)
    if not {"mean", "variance"} <= set(found):
        raise SoftdpuError(
            f"{file.path}: layer {name} has no mean and variance; call adapt() and save again (model.file)"
        )
    return found["mean"], found["variance"]
