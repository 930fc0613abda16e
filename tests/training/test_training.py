from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from record_tools import write_colours

from softdpu.errors import SoftdpuError
from softdpu.training import model as models
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.fit import fit, save
from softdpu.training.float_model import train
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.tasks.classification import cross_entropy, evaluate

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders train (60) and val (30) of noisy images, whose colour tells one of three classes."""
    folder = tmp_path_factory.mktemp("records")
    write_colours(folder, {"train": 60, "val": 30})
    return folder


def tiny_network() -> keras.Model:
    """Return a network that learns the colours in a few steps."""
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(image)))


def test_fit_learns_and_keeps_the_best_epoch(records: Path, tmp_path: Path) -> None:
    hyperparameters = Hyperparameters(epochs=6, batch_size=16, optimizer="sgd", learning_rate=20.0, schedule="constant")
    network, val = tiny_network(), KerasBatches(records / "val", 32, 7)
    history = fit(network, KerasBatches(records / "train", 32, 16, seed=1), val, hyperparameters, tmp_path / "logs")
    assert evaluate(network, val)["accuracy"] == pytest.approx(max(history["val_accuracy"]))
    assert max(history["val_accuracy"]) > 0.9
    assert list((tmp_path / "logs").rglob("events.out.tfevents*"))


def test_training_never_makes_it_worse_where_the_start_counts(records: Path) -> None:
    network, val = tiny_network(), KerasBatches(records / "val", 32, 7)
    data = KerasBatches(records / "train", 32, 16, seed=1)
    fit(network, data, val, Hyperparameters(epochs=30, learning_rate=0.1, schedule="constant"))
    before = network.get_weights()
    assert evaluate(network, val)["accuracy"] == 1.0
    fit(network, data, val, Hyperparameters(epochs=1, learning_rate=5.0, schedule="constant"), keep_start=True)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_diverged_training_is_told(records: Path) -> None:
    hyperparameters = Hyperparameters(epochs=2, optimizer="sgd", learning_rate=float("inf"), schedule="constant")
    batches = KerasBatches(records / "train", 32, 16)
    with pytest.raises(SoftdpuError, match=r"training diverged.*learning_rate"):
        fit(tiny_network(), batches, batches, hyperparameters)


def test_evaluate_against_keras(records: Path) -> None:
    network, val = tiny_network(), KerasBatches(records / "val", 32, 7)
    network.compile(loss=cross_entropy(0.0), metrics=["accuracy"])
    loss, accuracy = network.evaluate(val, verbose=0)
    got = evaluate(network, val)
    assert got == {"accuracy": pytest.approx(accuracy), "loss": pytest.approx(loss, rel=1e-5), "images": 30}


def test_label_smoothing_is_keras_own() -> None:
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(5, 4)).astype(np.float32), np.array([0, 3, 1, 1, 2])
    p = np.full((5, 4), 0.1 / 4)
    p[np.arange(5), labels] += 0.9
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -(p * log_softmax).sum(axis=1).mean()
    assert float(cross_entropy(0.1)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_saved_models_are_equal_bytes_and_keras_2(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        keras.backend.clear_session()  # Keras' names count on, and conv2d_10 is longer than conv2d_9
        save(tiny_network(), tmp_path / name)
    assert len((tmp_path / "a.h5").read_bytes()) == len((tmp_path / "b.h5").read_bytes())
    assert keras.models.load_model(tmp_path / "a.h5", compile=False).output_shape == (None, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_the_network_is_the_tutorials() -> None:
    network = models.build_mobilenet(10, 32, alpha=0.25, bn_momentum=0.9)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 27 and {layer.get_config()["momentum"] for layer in norms} == {0.9}
    assert network.input_shape == (None, 32, 32, 3) and network.output_shape == (None, 10)
    kinds = [type(layer).__name__ for layer in network.layers[-3:]]
    assert kinds == ["GlobalAveragePooling2D", "Dropout", "Dense"]
    assert network.layers[-1].activation is keras.activations.linear
    assert network.count_params() == 218544 + 256 * 10 + 10  # Keras' MobileNet 0.25 without its top, and the head


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.3}, "alpha must be one of 0.25, 0.5, 0.75, 1.0, got 0.3"),
        ({"size": 31}, "input must be at least 32 pixels, got 31"),
        ({"dropout": 1.0}, "dropout must be from 0 to less than 1, got 1.0"),
        ({"freeze_base": True}, "a frozen base needs weights"),
        ({"weights": "nothing.h5"}, "the weights nothing.h5 do not exist"),
        ({"weights": __file__}, "does not take the weights .*test_training.py.*expected weights as HDF5"),
        ({"classes": 0}, "at least 1 class, got 0"),
    ],
)
def test_what_mobilenet_has_not(options: dict, message: str) -> None:
    with pytest.raises(SoftdpuError, match=message) as error:
        models.build_mobilenet(**{"classes": 10, "size": 32, "alpha": 0.25, **options})
    assert "\n" not in " ".join(str(error.value).split())


def test_weights_of_another_alpha_are_told(tmp_path: Path) -> None:
    base = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.5, include_top=False, weights=None)
    base.save_weights(str(tmp_path / "base.h5"))
    with pytest.raises(SoftdpuError, match=r"does not take the weights .*base\.h5.*alpha is 0\.25"):
        models.build_mobilenet(10, 32, alpha=0.25, weights=str(tmp_path / "base.h5"))


def test_a_frozen_base_trains_its_head_on_cached_features(records: Path, tmp_path: Path) -> None:
    base = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
    base.set_weights([6 * w if w.ndim == 4 else w for w in base.get_weights()])  # untrained features are nearly 0
    base.save_weights(str(tmp_path / "base.h5"))
    network = models.build_mobilenet(3, 32, alpha=0.25, weights=str(tmp_path / "base.h5"), freeze_base=True)
    before = network.get_weights()
    val = KerasBatches(records / "train", 32, 30)  # untrained features tell no more than what was learnt by heart
    hyperparameters = Hyperparameters(epochs=40, batch_size=16, learning_rate=0.05)
    data = KerasBatches(records / "train", 32, 16, seed=1)
    train(network, data, val, hyperparameters, cache_features=True, logs=tmp_path / "logs")
    for old, new in zip(before[:-2], network.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(old, new)
    assert (before[-2] != network.get_weights()[-2]).any()
    assert evaluate(network, val)["accuracy"] > 0.9


@pytest.mark.long
def test_two_trainings_give_the_same_bytes(records: Path, tmp_path: Path) -> None:
    """The program in two processes: dropout, shuffle and augmentation on."""
    outputs = []
    for name in ("a", "b"):
        command = [
            sys.executable, "scripts/train.py", "--train-records", str(records / "train"), "--val-records",
            str(records / "val"), "--output", str(tmp_path / name / "float_model.h5"), "--tensorboard",
            str(tmp_path / name / "logs"), "--classes", "3", "--size", "32", "--alpha", "0.25", "--dropout", "0.2",
            "--epochs", "2", "--batch-size", "16", "--augment-flip", "--augment-brightness", "0.1",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        outputs.append((tmp_path / name / "float_model.h5").read_bytes())
    assert outputs[0] == outputs[1]
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["images"] == 30 and 0 <= metrics["accuracy"] <= 1 and metrics["loss"] > 0
    assert "conv_pw_13" in (tmp_path / "a" / "model_summary.txt").read_text()
