"""The user's own network: any classifier of images, as .h5, .keras or .onnx, becomes the build's float model."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def height_and_width(size: int | str) -> tuple[int, int]:
    """Return what a size in pixels means: 64, of a square, or "96x128"."""
    height, _, width = str(size).partition("x")
    return int(height), int(width or height)


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

        text = input_scaling(Path(path), text, model["outputs"], height_and_width(model["input_size"])).text()
    return None if text == "tf" else text
