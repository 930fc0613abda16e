"""A training that is killed goes on where it was, and only where it may."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from started_process import run_program
from worker_program import finetune_command, network

from softdpu.dataset.pipeline import Augmentation
from softdpu.output.files import sha256
from softdpu.training import checkpoints
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.checkpoints import Store
from softdpu.training.common import Data
from softdpu.training.fit import fit
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.quantization import Calibration, FineTuning
from softdpu.training.setup import Setup, Surroundings

ROOT = Path(__file__).parents[2]
RECIPE = Hyperparameters(epochs=4, batch_size=40, learning_rate=0.01, warmup_epochs=1.5)


class Stop(keras.callbacks.Callback):
    """Ends a training as a kill would, in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._last, self._epoch = epoch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if (self._epoch, batch) == (self._last, 1):
            raise InterruptedError


def trained(
    colours: Path, store: Store | None, hyperparameters: Hyperparameters = RECIPE, callbacks: Any = (), **more: Any
) -> tuple:
    """Return the weights that a training ends with, and its history."""
    keras.utils.set_random_seed(3)
    model = network()
    train = KerasBatches(colours / "train", 32, 40, seed=2, threads=1)
    val = KerasBatches(colours / "val", 32, 60, threads=1)
    curves = fit(model, train, val, hyperparameters, setup=Setup(store=store), callbacks=callbacks, **more)
    return model.get_weights(), curves


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_resumed_training_gives_the_same_bits(
    colours: Path, tmp_path: Path, optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hyperparameters = Hyperparameters(
        epochs=4, batch_size=40, learning_rate=0.01, warmup_epochs=1.5, optimizer=optimizer
    )
    straight, curves = trained(colours, None, hyperparameters, history=tmp_path / "straight.csv", keep_start=True)
    store = Store(tmp_path / "checkpoint", {"seed": "3"})
    with pytest.raises(InterruptedError):
        trained(colours, store, hyperparameters, [Stop(2)], keep_start=True)
    weights, again = trained(colours, store, hyperparameters, history=tmp_path / "resumed.csv", keep_start=True)
    assert f"training goes on after epoch 2 of 4: {store.path}" in capsys.readouterr().out
    for one, other in zip(straight, weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again == curves
    assert (tmp_path / "resumed.csv").read_bytes() == (tmp_path / "straight.csv").read_bytes()
    # Killed between its end and that of the program: nothing is left to train.
    weights, again = trained(colours, store, hyperparameters, [Stop(0)], keep_start=True)
    assert again == curves and all((a == b).all() for a, b in zip(straight, weights, strict=True))
    store.remove()
    assert not store.path.parent.exists()


def test_a_checkpoint_of_another_run_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = checkpoints.State(2, {"loss": [1.0, 0.5]}, {"accuracy": 0.5, "epoch": 1, "start": None}, [np.ones(2)])
    Store(tmp_path, {"epochs": "3", "train_records": "a" * 64}).save(state)
    assert Store(tmp_path, {"epochs": "4", "train_records": "a" * 64}).load() is None
    assert "training starts afresh" in (said := capsys.readouterr().out) and "epochs was 3, is 4" in said
    assert Store(tmp_path, {"epochs": "3", "train_records": "b" * 64}).load() is None
    assert "comes from another run (train_records changed)" in capsys.readouterr().out
    found = Store(tmp_path, {"epochs": "3", "train_records": "a" * 64}).load()
    assert found is not None and (found.epoch, found.history, found.best) == (2, state.history, state.best)


def test_the_chief_alone_writes(tmp_path: Path) -> None:
    worker = Store(tmp_path / "c", {}, chief=False)
    worker.save(checkpoints.State(1, {}, {}, []))
    assert worker.load() is None and not list(tmp_path.iterdir())
    Store(tmp_path / "c", {}).save(checkpoints.State(1, {}, {}, []))
    worker.remove()
    assert worker.path.exists()


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "text", "network"])
def test_a_damaged_checkpoint_is_ignored_with_a_sentence(
    colours: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path, {})
    state = checkpoints.State(1, {"loss": [1.0]}, {"accuracy": 0.5, "epoch": 0, "start": None}, [np.arange(9000.0)])
    state.variables = [np.ones(3)]
    store.save(state)
    whole = store.path.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "cut": whole[:middle],
        "bit": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "text": b"nothing",
        "network": whole,
    }
    store.path.write_bytes(damaged[damage])
    hyperparameters = Hyperparameters(epochs=1, batch_size=40)
    _, curves = trained(colours, store, hyperparameters)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("training starts afresh")]
    assert len(said) == 1 and str(store.path) in said[0]
    assert ("is not of this network" if damage == "network" else "is damaged") in said[0]
    assert len(curves["loss"]) == 1
    found = store.load()
    assert found is not None and found.epoch == 1


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Make longer files fail as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_costs_the_new_checkpoint_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path, {})
    best = {"accuracy": 0.5, "epoch": 0, "start": None}
    store.save(checkpoints.State(1, {"loss": [1.0]}, best, [np.ones(10)]))
    with files_of_at_most(100_000):
        store.save(checkpoints.State(2, {"loss": [1.0, 0.5]}, best, [np.ones(1_000_000)]))
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1 and f"the checkpoint {store.path} cannot be written (File too large)" in warning
    found = store.load()
    assert found is not None and found.epoch == 1
    assert list(tmp_path.iterdir()) == [store.path]


def test_what_a_training_depends_on(colours: Path) -> None:
    data = Data(str(colours / "val"), str(colours / "train"))
    on = Surroundings(checkpoints="here", worker_timeout=3)
    job = FineTuning(
        str(colours / "float.h5"), "a.h5", data, Hyperparameters(epochs=3), surroundings=on, tensorboard="logs"
    )
    facts = checkpoints.collect_facts(job)
    assert facts["epochs"] == "3" and facts["model"] == sha256(colours / "float.h5")
    moved = replace(job, output="b.h5", surroundings=replace(on, strategy="one", checkpoints="there"))
    assert checkpoints.collect_facts(moved) == facts
    others = {
        "train_records": replace(job, data=replace(data, train_records=str(colours / "val"))),
        "epochs": replace(job, hyperparameters=Hyperparameters(epochs=4)),
        "flip": replace(job, hyperparameters=replace(job.hyperparameters, augmentation=Augmentation(flip=True))),
        "calib_images": replace(job, calibration=Calibration(calib_images=9)),
        "bgr": replace(job, data=replace(data, scaling=replace(data.scaling, bgr=True))),
    }
    for name, other in others.items():
        assert {key for key, value in checkpoints.collect_facts(other).items() if value != facts[key]} == {name}


@pytest.mark.slow
def test_a_killed_finetuning_goes_on(colours: Path, finetuned: Path, tmp_path: Path) -> None:
    command = finetune_command(colours, tmp_path)
    checkpoint = tmp_path / "checkpoint" / checkpoints.NAME
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 240
        while not checkpoint.exists() and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL and sorted(tmp_path.iterdir()) == [checkpoint.parent]
    done = run_program(command, "tensorflow", cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("training goes on after epoch")]
    assert len(said) == 1 and said[0].endswith(f"of 4: {checkpoint}")
    first = int(said[0].split()[5]) + 1
    assert first > 1 and f"Epoch {first}/4" in done.stdout and f"Epoch {first - 1}/4" not in done.stdout
    names = sorted(path.name for path in finetuned.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:  # without dropout, a resumed training is the undisturbed one
        assert (tmp_path / name).read_bytes() == (finetuned / name).read_bytes(), name
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"] > 0.5
