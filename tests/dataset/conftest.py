"""Small Fashion-MNIST files, made once, and what many tests of the data set need."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from dataset_tools import write_idx

from softdpu.dataset import fashion_mnist


@pytest.fixture
def fashion_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 37 training and 11 validation images, whose checksums count as the publisher's."""
    folder = tmp_path / "fashion"
    folder.mkdir()
    random = np.random.default_rng(1)
    sums = {}
    for split, count in (("train", 37), ("val", 11)):
        arrays = (random.integers(0, 256, (count, 28, 28)), np.arange(count) % 10)
        for name, array in zip(fashion_mnist.FILES[split], arrays, strict=True):
            write_idx(folder / name, array)
            sums[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(fashion_mnist, "SHA256", sums)
    return folder
