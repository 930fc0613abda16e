"""Keras models that others trained: the adapted network finds the classes that the file's own network finds."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from softdpu.dataset import preprocess
from softdpu.errors import SoftdpuError
from softdpu.own_model import scaling_text
from softdpu.own_model.adapt import adapt
from softdpu.own_model.front import input_scaling
from softdpu.own_model.load import load
from softdpu.own_model.model_file import read
from softdpu.training.batches import keras


def adapted(path: Path, classes: int, named: str | None = None, size: int = 32) -> tuple[keras.Model, str]:
    """Return the network and the scaling that the build makes of a file."""
    scaling = input_scaling(path, named)
    names = [f"class {i}" for i in range(classes)]
    return adapt(load(read(path), (size, size)), path, "classification", names, scaling.bgr), scaling.text()


def told(path: str | None, named: str | None) -> str | None:
    """Return the scaling of a build with this model.file and model.preprocess."""
    return scaling_text({"file": path, "preprocess": named, "outputs": None, "input_size": 32})


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(("name", "scaling"), [("branched", "tf"), ("grey", "unit"), ("normalized", None)])
def test_models_of_keras_3_predict_the_same(keras3_models: Path, name: str, scaling: str | None, suffix: str) -> None:
    expected = np.load(keras3_models / "predicted.npz")[name]
    if name == "normalized":  # one sigmoid becomes two logits
        expected = np.concatenate([1 - expected, expected], axis=1)
    network, text = adapted(keras3_models / f"{name}.{suffix}", expected.shape[1])
    assert text == scaling or (scaling is None and text.startswith("rgb:"))
    pixels = np.load(keras3_models / "pixels.npy").astype(np.uint8)
    if name == "grey":
        pixels = np.repeat(pixels[:, :28, :28, :1], 3, axis=3)
    got = network.predict(preprocess.scale(pixels, preprocess.scaling(text)), verbose=0)
    np.testing.assert_allclose(softmax(got), expected, atol=2e-6)
    assert network.input_shape[1:] == pixels.shape[1:]
    kinds = {type(layer).__name__ for layer in network.layers}
    assert not kinds & {"Rescaling", "Normalization", "RandomFlip", "RandomRotation", "Softmax", "Sequential"}


def keras2_model() -> keras.Model:
    image = keras.Input((24, 24, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="a")(image / 255.0)
    inner = keras.Sequential([keras.Input((22, 22, 4)), keras.layers.DepthwiseConv2D(3), keras.layers.ReLU(6.0)])
    x = keras.layers.GlobalAveragePooling2D()(inner(x))
    return keras.Model(image, keras.layers.Activation("softmax")(keras.layers.Dense(5)(x)))


@pytest.mark.parametrize("suffix", ["h5", "keras"])
def test_models_of_keras_2_predict_the_same(tmp_path: Path, suffix: str) -> None:
    keras.utils.set_random_seed(3)
    model = keras2_model()
    model.save(tmp_path / f"m.{suffix}")
    network, text = adapted(tmp_path / f"m.{suffix}", 5)
    assert text == "unit"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    got = network.predict(preprocess.scale(pixels, preprocess.SCALINGS["unit"]), verbose=0)
    np.testing.assert_allclose(softmax(got), model.predict(pixels.astype(np.float32), verbose=0), atol=1e-6)


def test_older_archives_without_names_in_the_weights(keras3_models: Path, tmp_path: Path) -> None:
    """The groups of a .keras are found by class and number, not by the attribute that new versions add."""
    import io

    import h5py

    with zipfile.ZipFile(keras3_models / "branched.keras") as old:
        weights = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
        with zipfile.ZipFile(tmp_path / "old.keras", "w") as new:
            new.writestr("config.json", old.read("config.json"))
            new.writestr("model.weights.h5", weights.getvalue())
    network, _ = adapted(tmp_path / "old.keras", 3)
    pixels = preprocess.scale(np.load(keras3_models / "pixels.npy").astype(np.uint8))
    expected = np.load(keras3_models / "predicted.npz")["branched"]
    np.testing.assert_allclose(softmax(network.predict(pixels, verbose=0)), expected, atol=2e-6)


@pytest.mark.parametrize("mode", ["tf", "torch", "caffe"])
def test_named_scalings_are_those_of_keras(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
    theirs = keras.applications.imagenet_utils.preprocess_input(pixels.astype(np.float32), mode=mode)
    np.testing.assert_allclose(preprocess.scale(pixels, preprocess.SCALINGS[mode]), theirs, rtol=1e-4, atol=1e-4)


def test_scalings_as_text() -> None:
    for name, scaling in preprocess.SCALINGS.items():
        assert scaling.text() == name and preprocess.scaling(name) == scaling
    odd = preprocess.SCALINGS["caffe"].then([1.0, 2.0, 4.0], 0.5)
    assert preprocess.scaling(odd.text()) == odd
    for wrong in ("", "rgb:1,1,1", "rgb:1,1:0,0", "xyz:1,1,1:0,0,0", "rgb:0,1,1:0,0,0"):
        with pytest.raises(ValueError, match="must be one of tf, unit, raw, torch, caffe"):
            preprocess.scaling(wrong)


BAD = {
    "image_out.keras": r"gives \(32, 32, 3\), so it is no classifier",
    "two_outputs.keras": r"gives \(3,\) and \(2,\), so it is no classifier",
    "lambda.keras": "layer lambda is a Lambda, code that a DPU has no layer for",
    "operation.keras": "layer tanh is the operation Tanh",
    "vector.keras": r"takes \(10,\); expected one image",
    "subclassed.keras": "is of class Subclassed, a subclassed model",
    "only.weights.h5": "holds weights alone, no model",
    "missing.h5": "there is no model file .*missing.h5; name an .h5, .keras or .onnx",
    "images": "is a folder, such as TensorFlow's SavedModel",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_classifier_is_told_in_one_line(keras3_models: Path, name: str) -> None:
    with pytest.raises(SoftdpuError, match=BAD[name]) as caught:
        adapted(keras3_models / name, 3)
    assert "\n" not in str(caught.value) and "model.file" in str(caught.value)


def test_another_number_of_classes_is_told(keras3_models: Path) -> None:
    with pytest.raises(SoftdpuError, match=r"branched.keras says 3 classes, the data has 10"):
        adapted(keras3_models / "branched.keras", 10)


@pytest.mark.parametrize("name", ["branched.keras", "branched.h5"])
def test_damaged_files_are_told(keras3_models: Path, tmp_path: Path, name: str) -> None:
    whole = (keras3_models / name).read_bytes()
    path = tmp_path / name
    for data in (whole[: len(whole) // 2], whole[:100], b"", b"something else"):
        path.write_bytes(data)
        with pytest.raises(SoftdpuError, match=r"model\.file"):
            adapted(path, 3)


def test_a_graph_with_a_hole_is_told_and_ends(keras3_models: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(keras3_models / "branched.keras") as old, zipfile.ZipFile(tmp_path / "x.keras", "w") as new:
        config = old.read("config.json").replace(b'"keras_history": ["re_lu"', b'"keras_history": ["nobody"')
        assert json.loads(config)
        new.writestr("config.json", config)
        new.writestr("model.weights.h5", old.read("model.weights.h5"))
    with pytest.raises(SoftdpuError, match="reads call 0 of 'nobody', which is not there"):
        adapted(tmp_path / "x.keras", 3)


def test_the_plan_reads_the_scaling(keras3_models: Path) -> None:
    assert told(None, None) is None and told(None, "tf") is None
    assert told(str(keras3_models / "grey.h5"), None) == "unit"
    assert told(str(keras3_models / "grey.h5"), "unit").startswith("rgb:65025.0,")  # scaled twice, as told
    assert told(str(keras3_models / "branched.keras"), None) is None
