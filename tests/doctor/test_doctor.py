"""The doctor on a network with planted faults: it must name them, in numbers, in words and in pictures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from record_tools import write_colours
from started_process import run_program

from softdpu.commands.doctor import random_images
from softdpu.doctor import examine, reasons, report

keras = pytest.importorskip("tf_keras")
L = keras.layers
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """Channel 2 of `first` is dead, so that channel 2 of `middle` is; channel 5 of `last` stretches its range."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="first")(x)
    x = L.ReLU(6.0)(L.BatchNormalization(name="first_bn")(x))
    x = L.DepthwiseConv2D(3, padding="same", use_bias=False, name="middle")(x)
    x = L.ReLU(6.0)(L.BatchNormalization(name="middle_bn")(x))
    x = L.ReLU()(L.Conv2D(8, 1, name="last")(x))
    model = keras.Model(inputs, L.Dense(4, name="logits")(L.GlobalAveragePooling2D()(x)))
    random = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            gamma, beta, mean, variance = np.ones(8), random.normal(0.5, 0.5, 8), np.zeros(8), np.full(8, 0.3)
            gamma[2], beta[2], variance[2] = 2.0, -0.4, 1e-35
            layer.set_weights([gamma, beta, mean, variance])
    for name, axis in (("first", 3), ("middle", 2)):
        kernel = model.get_layer(name).get_weights()[0]
        kernel[(slice(None),) * axis + (2,)] = 1e-9 if name == "first" else 1.0
        model.get_layer(name).set_weights([kernel])
    kernel, bias = model.get_layer("last").get_weights()
    kernel[..., 5] *= 20
    model.get_layer("last").set_weights([kernel, bias])
    return model


@pytest.fixture(scope="module")
def found(model: keras.Model):
    return examine(model, random_images(model, 32))


def test_the_planted_dead_channel_is_found(found) -> None:
    assert found.dead["middle"].channels == [2] == found.dead["middle"].normalized_away
    assert found.dead["middle"].largest == pytest.approx(2 / np.sqrt(1e-3), rel=1e-4)
    assert found.starved_by == {"middle": "first"}
    assert found.before["last"].stretching_channel == 5


def test_the_words_name_cause_and_channel(found) -> None:
    text = report.as_text(found)
    assert "Cause: dead channels take the weight range of middle" in text
    assert "Cause of that: dead channels of first, so that middle read" in text
    assert any(
        "channel 2 is dead (BatchNormalization variance near zero)" in r for r in reasons.list_reasons(found, "middle")
    )
    assert any("channel 5 reaches" in r and "stretches the range" in r for r in reasons.list_reasons(found, "last"))
    assert reasons.find_worst(found)[0] == "middle"


def test_of_a_healthy_network_nothing_is_said_to_be_wrong(tmp_path: Path) -> None:
    keras.utils.set_random_seed(5)
    x = inputs = keras.Input((16, 16, 3))
    for filters in (8, 8):
        x = L.ReLU()(L.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(x))
    x = L.Conv2D(4, 1)(x)
    healthy = keras.Model(inputs, x)
    found = examine(healthy, random_images(healthy, 32))
    assert found.output_sqnr[0] > 25
    assert reasons.diagnose(found)[0].startswith("Nothing is wrong")
    report.write_table(found, tmp_path / "layers.html")
    page = (tmp_path / "layers.html").read_text(encoding="utf-8")
    assert "Nothing is wrong" in page and "orst" not in page
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page


def test_a_sick_network_is_not_called_healthy(found) -> None:
    assert not any("Nothing is wrong" in line for line in reasons.diagnose(found))


def test_the_numbers_are_what_they_are_called(found, model) -> None:
    state = found.before["last"]
    kernel = model.get_layer("last").get_weights()[0]
    step = 2.0**-state.kernel_pos
    rounded = np.clip(np.rint(kernel / step), -128, 127) * step
    assert state.weight_sqnr == pytest.approx(
        10 * np.log10((kernel**2).sum() / ((rounded - kernel) ** 2).sum()), abs=0.01
    )
    np.testing.assert_allclose(state.ranges, np.abs(kernel).max(axis=(0, 1, 2)), rtol=1e-6)
    assert -1 <= state.cosine <= 1
    assert found.after["middle"].kernel_pos > found.before["middle"].kernel_pos
    assert found.output_sqnr[1] > found.output_sqnr[0]


def test_files(found, tmp_path: Path) -> None:
    names = report.write(found, tmp_path / "a")
    assert names == report.write(found, tmp_path / "b")
    assert {"doctor.json", "layers.html", "sqnr.svg", "cost.svg", "ranges.svg", "worst.svg"} <= set(names)
    assert {"ranges-middle.svg", "activations-middle.svg"} <= set(names)
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
        if name.endswith(".svg"):
            assert ElementTree.parse(tmp_path / "a" / name).getroot().tag.endswith("svg")
    data = json.loads((tmp_path / "a" / "doctor.json").read_text())
    assert set(data["layers"]) == {"first", "middle", "last", "logits"}
    assert data["worst"][0]["layer"] == "middle"


def doctor(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "doctor.py"), *arguments]
    return run_program(command, "tensorflow", cwd=ROOT, timeout=300)


def test_the_program(model, tmp_path: Path) -> None:
    model.save(tmp_path / "model.h5")
    done = doctor(str(tmp_path / "model.h5"), "--calib-images", "16", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "random images, which say less than real ones" in done.stderr
    assert "Cause: dead channels" in done.stdout
    assert (tmp_path / "out" / "doctor.json").is_file()


def test_fewer_images_than_are_asked_for(model, tmp_path: Path) -> None:
    write_colours(tmp_path, {"train": 7})
    model.save(tmp_path / "model.h5")
    options = ("--records", str(tmp_path / "train"), "--output", str(tmp_path / "out"))
    done = doctor(str(tmp_path / "model.h5"), *options)
    assert done.returncode == 0, done.stderr
    assert "note: calibrated with all 7 training images; 128 were asked for" in done.stdout
    assert (tmp_path / "out" / "doctor.json").is_file()


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    done = doctor(str(tmp_path / "none.h5"), "--output", str(tmp_path / "out"))
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "none.h5" in lines[0]
    assert "Traceback" not in done.stderr
