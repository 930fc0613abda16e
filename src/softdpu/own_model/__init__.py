"""The user's own network: any Keras classifier of images, as .h5 or .keras, becomes the build's float model."""

from __future__ import annotations

from pathlib import Path


def scaling_text(path: str | None, named: str | None) -> str | None:
    """Return the option --scaling of a build whose config has model.file `path` and model.preprocess `named`.

    None stands for the default, -1..1. This is read when a build is planned, so a file that cannot be used is told
    before anything runs.

    Raises:
        SoftdpuError: if the file cannot be used.
    """
    text = named
    if path:
        from softdpu.own_model.front import input_scaling  # slow to import, and few builds need it

        text = input_scaling(Path(path), named).text()
    return None if text == "tf" else text
