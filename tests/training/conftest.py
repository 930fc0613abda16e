"""Records and a float model that several files of tests train on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from worker_program import ROOT, finetune_command, network

from softdpu.dataset import example, tfrecord
from softdpu.training.batches import keras
from softdpu.training.fit import save


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders train (149) and val (60) of noisy images, whose colour tells one of three classes, and float.h5."""
    folder = tmp_path_factory.mktemp("colours")
    random = np.random.default_rng(0)
    for split, count in (("train", 149), ("val", 60)):
        (folder / split).mkdir()
        with open(folder / split / "data_0.tfrecord", "wb") as file:
            for i in range(count):
                image = random.integers(0, 200, (32, 32, 3), np.uint8)
                image[:, :, i % 3] += 30
                data = cv2.imencode(".png", image)[1].tobytes()
                tfrecord.append(file, example.encode(example.Record(i % 3, 32, 32, 3, data)))
    keras.utils.set_random_seed(1)
    save(network(), folder / "float.h5")
    return folder


@pytest.fixture(scope="session")
def finetuned(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fine-tuning that nobody disturbed, on one device."""
    folder = tmp_path_factory.mktemp("finetuned")
    command = finetune_command(colours, folder)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not (folder / "checkpoint").exists()
    return folder
