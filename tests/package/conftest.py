"""A tiny compiled model and tiny records, made with the project's own writers."""

from __future__ import annotations

from pathlib import Path

import pytest
from package_tools import make_records, make_xmodel


@pytest.fixture(scope="session")
def xmodel(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.xmodel"
    make_xmodel(path)
    return path


@pytest.fixture(scope="session")
def records(tmp_path_factory) -> Path:
    """45 JPEG images of 9x11 pixels in two files, with labels.txt."""
    folder = tmp_path_factory.mktemp("tfrec_val")
    make_records(folder, 45)
    return folder
