"""Several workers learn what one learns; whoever is missing or does something else is told in one line."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker_program import ROOT, finetune_command, network

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import tf
from softdpu.training import devices
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.devices import Devices
from softdpu.training.fit import fit, save
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.results import read_history
from softdpu.training.setup import Setup
from softdpu.training.tasks.classification import evaluate


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now, below those that the kernel itself gives to connections."""
    ports: list[int] = []
    for port in np.random.default_rng().permutation(np.arange(15000, 32000)):
        with socket.socket() as door, contextlib.suppress(OSError):
            door.bind(("", int(port)))
            ports.append(int(port))
        if len(ports) == count:
            break
    return ports


def run_workers(commands: list[list[str]]) -> list[subprocess.CompletedProcess[str]]:
    """Run one command for each worker at the same time, on this machine."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    running = []
    for index, command in enumerate(commands):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
    try:
        ends = [process.communicate(timeout=300) for process in running]
    finally:
        for process in running:
            process.kill()
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *end)
        for process, end in zip(running, ends, strict=True)
    ]


@pytest.mark.slow
def test_two_workers_give_the_losses_of_one(colours: Path, tmp_path: Path) -> None:
    """20 steps of 38, 38, 38 and 35 images: the loss of each step, the metrics of each epoch, the weights."""

    def command(name: str) -> list[str]:
        return [
            sys.executable, "tests/training/worker_program.py", "--train-records", f"{colours}/train", "--val-records",
            f"{colours}/val", "--output", str(tmp_path / name), "--threads", "1", "--epochs", "5", "--batch-size", "38",
            "--learning-rate", "0.01", "--augment-flip", "--augment-contrast", "0.1", "--cache-mib", "0",
        ]  # fmt: skip

    alone = subprocess.run(command("alone"), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert alone.returncode == 0, alone.stderr
    chief, other = run_workers([command("chief"), command("other")])
    assert chief.returncode == other.returncode == 0, chief.stderr + other.stderr
    assert "training with 2 workers on 2 devices" in chief.stdout and other.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "chief"]
    one, two = (json.loads((tmp_path / name / "losses.json").read_text()) for name in ("alone", "chief"))
    assert len(one["steps"]) == 20 and one["steps"][-1] < 0.8 * one["steps"][0]
    np.testing.assert_allclose(two["steps"], one["steps"], rtol=1e-5)
    assert one["curves"].keys() == two["curves"].keys() >= {"loss", "val_loss", "accuracy", "val_accuracy", "lr"}
    for name, values in one["curves"].items():
        np.testing.assert_allclose(two["curves"][name], values, rtol=1e-5, err_msg=name)
    models = [keras.models.load_model(tmp_path / name / "model.h5", compile=False) for name in ("alone", "chief")]
    assert models[0].get_config() == models[1].get_config()
    for old, new in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-5)


@pytest.mark.long
def test_two_workers_fine_tune_as_one(colours: Path, finetuned: Path, tmp_path: Path) -> None:
    """Statistics and positions are those of the whole batch: 3 of 149 images are in another part than the rest."""
    chief, other = run_workers([finetune_command(colours, tmp_path / name) for name in ("chief", "chief")])
    assert chief.returncode == other.returncode == 0, chief.stderr + other.stderr
    assert other.stdout == ""
    names = sorted(path.name for path in finetuned.iterdir())
    assert sorted(path.name for path in (tmp_path / "chief").iterdir()) == names
    one, two = (read_history(folder / "history.csv") for folder in (finetuned, tmp_path / "chief"))
    assert len(one) == 5 and one[0].kept is False
    for old, new in zip(one, two, strict=True):
        assert (new.loss, new.val_loss) == pytest.approx((old.loss, old.val_loss), rel=1e-3, nan_ok=True)
        assert new.kept == old.kept
    positions = [
        json.loads((folder / "quant_ft.positions.json").read_text()) for folder in (finetuned, tmp_path / "chief")
    ]
    assert positions[0] == positions[1]


def test_workers_that_disagree_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [{"epochs": "3", "train_records": "aa"}, {"epochs": "4", "train_records": "aa"}]
    monkeypatch.setattr(devices, "_gather", lambda *_: [json.dumps(facts) for facts in said])
    with pytest.raises(SoftdpuError, match="do not agree: epochs is 3 for worker 0 and 4 for worker 1"):
        devices.agree(Devices(None, 0, 2), said[0])
    said[1] = said[0]
    devices.agree(Devices(None, 0, 2), said[0])


def test_a_missing_worker_is_told() -> None:
    ports = free_ports(3)
    with socket.socket() as present:
        present.bind(("127.0.0.1", ports[1]))
        present.listen()
        start = time.monotonic()
        with pytest.raises(SoftdpuError, match=rf"worker 2 \(127\.0\.0\.1:{ports[2]}\) did not answer worker 0 within"):
            devices.wait_for_workers([f"127.0.0.1:{port}" for port in ports], 0, 0.5)
        assert time.monotonic() - start < 20
        with pytest.raises(SoftdpuError, match=rf"worker 1 cannot listen at 127\.0\.0\.1:{ports[1]}: Address already"):
            devices.wait_for_workers([f"127.0.0.1:{port}" for port in ports], 1, 0.5)


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}']
)
def test_a_wrong_tf_config_is_told(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(SoftdpuError, match="TF_CONFIG must be"):
        devices.choose()


def test_an_address_without_a_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"cluster": {"chief": ["here"], "worker": ["there"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(SoftdpuError, match="must be host:port, got here"):
        devices.choose()


def test_several_workers_are_asked_for_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    with pytest.raises(SoftdpuError, match="needs several workers"):
        devices.choose("multi_worker")


def test_the_tasks_of_a_slurm_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(devices, "_workers", lambda addresses, index, timeout: seen.append((addresses, index)))
    step = {"PROCID": "1", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "node[07-08]", "STEP_TASKS_PER_NODE": "2,1"}
    for name, value in {**step, "JOB_ID": "4711"}.items():
        monkeypatch.setenv("SLURM_" + name, value)
    devices.choose()
    (addresses, index), port = seen[0], int(seen[0][0][0].split(":")[1])
    assert addresses == [f"node07:{port}", f"node07:{port + 1}", f"node08:{port}"] and index == 1
    assert 1024 < port < 32768
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    with pytest.raises(SoftdpuError, match="the tasks of this Slurm step cannot be told"):
        devices.choose()
    assert devices.choose("one") is devices.ONE
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert devices.choose() is devices.ONE


@pytest.mark.parametrize(("gpus", "mirrored"), [(0, False), (1, False), (2, True)])
def test_gpus_are_taken_by_themselves(gpus: int, mirrored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strategy:
        num_replicas_in_sync = gpus

    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"] * gpus)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", Strategy)
    found = devices.choose()
    assert isinstance(found.strategy, Strategy) == mirrored and found.replicas == max(1, gpus) and found.chief


def test_mixed_precision_leaves_a_float32_model(colours: Path, tmp_path: Path) -> None:
    val = KerasBatches(colours / "val", 32, 60, threads=1)
    losses = {}
    for precision in (None, "bfloat16"):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = network()
        train = KerasBatches(colours / "train", 32, 30, seed=1, threads=1)
        fit(
            model,
            train,
            val,
            Hyperparameters(epochs=5, batch_size=30, learning_rate=0.02),
            setup=Setup(precision=precision),
        )
        save(model, tmp_path / f"{precision}.h5")
        losses[precision] = evaluate(model, val)["loss"]
    plain, mixed = (keras.models.load_model(tmp_path / f"{name}.h5", compile=False) for name in losses)
    assert plain.get_config() == mixed.get_config()
    assert {str(weight.dtype.name) for weight in mixed.weights} == {"float32"}
    assert any((a != b).any() for a, b in zip(plain.get_weights(), mixed.get_weights(), strict=True))
    assert losses["bfloat16"] == pytest.approx(losses[None], rel=0.1) and losses["bfloat16"] < 0.9


@pytest.mark.parametrize("options", [{}, {"cache_mib": 0}])
def test_the_parts_of_a_batch_are_the_batch(colours: Path, options: dict) -> None:
    from softdpu.dataset.pipeline import Augmentation

    how = Augmentation(flip=True, brightness=0.1, contrast=0.2, saturation=0.3)
    batches = KerasBatches(colours / "train", 32, 38, seed=1, augmentation=how, threads=1, **options)
    batches.start(3)
    for i in (0, 3):
        images, labels = batches[i]
        parts = [batches.part(i, number, 3) for number in range(3)]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), images)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)
        assert {part[2] for part in parts} == {len(labels)} and max(len(part[1]) for part in parts) == -(
            -len(labels) // 3
        )
    again = KerasBatches(colours / "train", 32, 38, seed=1, augmentation=how, threads=1, **options)
    for _ in range(3):
        again.on_epoch_end()
    np.testing.assert_array_equal(again[1][0], batches[1][0])
