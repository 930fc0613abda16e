"""The user's own network: any classifier of images, as .h5, .keras or .onnx, becomes the build's float model."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def scaling_text(model: dict[str, Any]) -> str | None:
    """Return the option --scaling of a build whose config has the section `model`.

    None stands for the default, -1..1. This is read when a build is planned, so a file that cannot be used is told
    before anything runs.

    Raises:
        SoftdpuError: if the file cannot be used.
    """
    text, path = model["preprocess"], model["file"]
    if path:
        from softdpu.own_model.front import input_scaling  # slow to import, and few builds need it

        text = input_scaling(Path(path), text, model["outputs"], model["input_size"]).text()
    return None if text == "tf" else text
