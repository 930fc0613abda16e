"""The stage scripts with Python 3.10 and TensorFlow 2.12's own Keras, and their files in both Keras versions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import container_python
import h5py
import other_pythons
import pytest
from record_tools import write_colours

from softdpu.training.batches import keras
from softdpu.training.fit import save

pytestmark = pytest.mark.long

NEW = Path(sys.executable)


@pytest.fixture(scope="session")
def old() -> Path:
    """The Python with TensorFlow 2.12."""
    python = other_pythons.find(container_python.VERSION)
    if python is None:
        pytest.skip("no Python 3.10 is found (SOFTDPU_PYTHON310, python3.10, pyenv)")
    return container_python.environment(python)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of coloured images of three classes, and a small float model that this Python's Keras writes."""
    folder = tmp_path_factory.mktemp("keras")
    write_colours(folder, {"train": 60, "val": 30})
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Add()([x, keras.layers.Conv2D(8, 1, activation="relu")(x)])
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D()(x))
    save(keras.Model(image, keras.layers.Dense(3)(x)), folder / "float.h5")
    return folder


def program(python: Path, build: Path, name: str, *options: object, train: bool = True) -> None:
    records = ["--val-records", build / "val", *(["--train-records", build / "train"] if train else [])]
    done = container_python.run(python, f"{name}.py", *records, *options, "--threads", 1)
    assert done.returncode == 0, done.stderr[-3000:]


def quantize(python: Path, build: Path, model: Path, output: Path) -> dict[str, Any]:
    """Run quantize.py and return the positions that it chose."""
    program(python, build, "quantize", "--model", model, "--calib-images", 40, "--recipe", "vitis", "--output", output)
    return dict(json.loads(output.with_suffix(".positions.json").read_text()))


def evaluate(python: Path, build: Path, model: Path) -> dict[str, Any]:
    program(python, build, "evaluate", "--model", model, "--output", model.parent / "again.json", train=False)
    return dict(json.loads((model.parent / "again.json").read_text()))


@pytest.fixture(scope="module")
def quantized(old: Path, build: Path) -> dict[str, dict[str, Any]]:
    """The positions that each Python finds for the same float model; the models are old/ptq.h5 and new/ptq.h5."""
    pythons = {"old": old, "new": NEW}
    return {name: quantize(pythons[name], build, build / "float.h5", build / name / "ptq.h5") for name in pythons}


def test_positions_are_the_same_in_both(quantized: dict[str, dict[str, Any]]) -> None:
    assert quantized["old"] == quantized["new"]
    assert any("kernel_pos" in entry for entry in quantized["old"].values())


def test_quantized_files_cross_both_ways(old: Path, build: Path, quantized: dict[str, dict[str, Any]]) -> None:
    for writer, reader in (("old", NEW), ("new", old)):
        written = json.loads((build / writer / "metrics.json").read_text())
        read = evaluate(reader, build, build / writer / "ptq.h5")
        assert read["accuracy"] == written["accuracy"]
        assert read["loss"] == pytest.approx(
            written["loss"], abs=1e-6
        )  # the loss is float32 arithmetic of two releases
    configs = []
    for name in ("old", "new"):
        with h5py.File(build / name / "ptq.h5") as file:
            configs.append(json.loads(file.attrs["model_config"]))
    assert keys(configs[0]) == keys(configs[1])


def keys(config: Any) -> set[str]:
    """Return every key of a configuration, at any depth."""
    if isinstance(config, dict):
        return set(config).union(*map(keys, config.values()))
    return set().union(*map(keys, config)) if isinstance(config, list) else set()


def test_fine_tuning_with_the_older_keras(old: Path, build: Path) -> None:
    output = build / "qat/quant_ft.h5"
    program(
        old, build, "finetune", "--model", build / "float.h5", "--calib-images", 40, "--batch-size", 20, "--epochs", 1,
        "--learning-rate", 0.03, "--output", output,
    )  # fmt: skip
    metrics = json.loads((build / "qat/metrics.json").read_text())
    read = evaluate(NEW, build, output)
    assert read["accuracy"] == metrics["accuracy"] and metrics["images"] == 30


def test_training_with_the_older_keras(old: Path, build: Path) -> None:
    output = build / "mobilenet/float_model.h5"
    program(
        old, build, "train", "--classes", 3, "--size", 32, "--alpha", 0.25, "--epochs", 1, "--batch-size", 20,
        "--tensorboard", build / "tensorboard", "--output", output,
    )  # fmt: skip
    model = keras.models.load_model(output, compile=False)
    assert model.output_shape == (None, 3)
    written = json.loads((build / "mobilenet/metrics.json").read_text())
    assert evaluate(NEW, build, output)["loss"] == pytest.approx(written["loss"], abs=1e-4)


def test_amds_quantizer_is_asked_for_by_name(old: Path, build: Path) -> None:
    done = container_python.run(
        old, "quantize.py", "--quantizer", "vitis-ai", "--model", build / "float.h5",
        "--train-records", build / "train", "--val-records", build / "val", "--output", build / "none/quant_model.h5",
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "error: --quantizer vitis-ai needs AMD's vai_q_tensorflow2, which this Python does not have" in done.stderr
