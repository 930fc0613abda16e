from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest


def write_images(folder: Path) -> None:
    """Write 3 classes of noisy images that differ in colour: 30 each to train on, 10 each to validate on."""
    random = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 10)):
        for label, name in enumerate(("blue", "green", "red")):
            place = folder / split / name
            place.mkdir(parents=True)
            for i in range(count):
                image = random.integers(0, 160, (32, 32, 3), np.uint8)
                image[:, :, label] += 60
                cv2.imwrite(str(place / f"{i}.png"), image)


@pytest.fixture(scope="session")
def keras3_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models that Keras 3 wrote, one of them trained on the images beside them."""
    folder = tmp_path_factory.mktemp("keras3")
    write_images(folder / "images")
    program = Path(__file__).with_name("make_keras3_models.py")
    run = subprocess.run(
        [sys.executable, str(program), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return folder
