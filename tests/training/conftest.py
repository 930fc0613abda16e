"""Records and a float model that several files of tests train on."""

from __future__ import annotations

from pathlib import Path

import pytest
from record_tools import write_colours
from started_process import run_program
from worker_program import ROOT, finetune_command, network

from softdpu.training.batches import keras
from softdpu.training.fit import save


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders train (149) and val (60) of noisy images, whose colour tells one of three classes, and float.h5."""
    folder = tmp_path_factory.mktemp("colours")
    write_colours(folder, {"train": 149, "val": 60}, noise=200, colour=30)
    keras.utils.set_random_seed(1)
    save(network(), folder / "float.h5")
    return folder


@pytest.fixture(scope="session")
def finetuned(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fine-tuning that nobody disturbed, on one device."""
    folder = tmp_path_factory.mktemp("finetuned")
    command = finetune_command(colours, folder)
    done = run_program(command, "tensorflow", cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not (folder / "checkpoint").exists()
    return folder
