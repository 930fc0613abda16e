"""An ONNX classifier in the build: its scaling goes to the pixels, its answer is the file's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import Builder

from softdpu.dataset import preprocess
from softdpu.errors import SoftdpuError
from softdpu.own_model import scaling_text
from softdpu.own_model.adapt import adapt
from softdpu.own_model.network import network
from softdpu.own_model.plan import check_file

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("named", ["unit", "torch", None])
def test_the_adapted_network_finds_the_classes_of_the_file(tmp_path: Path, named: str | None) -> None:
    make = Builder(("N", 3, "h", "w"))
    mean = make.constant([[[0.5]], [[0.4]], [[0.3]]])
    x = make.add("Div", make.add("Sub", "images", mean), make.constant(0.25))
    x = make.add("GlobalAveragePool", make.add("Relu", make.conv(x, 3, 8)))
    x = make.conv(x, 8, 4, 1)  # logits of 1 x 1 pixels, as SqueezeNet has them
    path = make.save(tmp_path / "net.onnx", make.add("Softmax", x, axis=1))
    section = {"file": str(path), "preprocess": named, "outputs": None, "input_size": 16}
    text = scaling_text(section) or "tf"
    model = adapt(network(path, (16, 16)), path, "classification", list("abcd"))
    assert not {type(layer).__name__ for layer in model.layers} & {"Rescaling", "Softmax"}
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)
    logits = model.predict(preprocess.scale(pixels, preprocess.scaling(text)), verbose=0)
    given = preprocess.scale(pixels, preprocess.scaling(named or "raw")).transpose(0, 3, 1, 2)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"images": given})
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), expected[:, :, 0, 0], atol=1e-5)


@pytest.mark.parametrize("end", ["LogSoftmax", "ArgMax"])
def test_a_class_that_the_file_picks_is_picked_by_the_app(
    tmp_path: Path, end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make = Builder()
    logits = make.add("Gemm", make.add("Flatten", make.conv("images", 3, 4)), make.normal(1024, 3), name="/fc")
    x = make.add(end, logits, axis=1)
    path = make.save(tmp_path / "net.onnx", make.add("Cast", x, to=6) if end == "ArgMax" else x)
    check_file(path, "classification", 3)
    model = network(path, (16, 16), task="classification")
    assert type(model.layers[-1]).__name__ == "Dense"
    assert "the app finds the largest number itself" in capsys.readouterr().out
    with pytest.raises(SoftdpuError, match="says 3 classes, the data has 4"):
        check_file(path, "classification", 4)


def test_pixels_whose_class_the_file_picks(tmp_path: Path) -> None:
    make = Builder()
    logits = make.conv("images", 3, 5, 1)
    path = make.save(tmp_path / "net.onnx", make.add("ArgMax", make.add("Softmax", logits, axis=1), axis=1, keepdims=0))
    check_file(path, "segmentation", 5)
    model = adapt(network(path, (16, 16), task="segmentation"), path, "segmentation", list("abcde"))
    assert model.output_shape == (None, 16, 16, 5)
    assert type(model.layers[-1]).__name__ == "Conv2D"


def test_a_network_that_ends_before_its_softmax(tmp_path: Path) -> None:
    make = Builder()
    logits = make.add("Gemm", make.add("Flatten", make.conv("images", 3, 4)), make.normal(1024, 3))
    path = make.save(tmp_path / "net.onnx", make.add("Softmax", logits, axis=1))
    assert type(network(path, 16, [logits]).layers[-1]).__name__ == "Dense"
