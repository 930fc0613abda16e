"""An ONNX classifier in the build: its scaling goes to the pixels, its answer is the file's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from graphs import Builder

from softdpu.dataset import preprocess
from softdpu.own_model import scaling_text
from softdpu.own_model.adapt import adapt
from softdpu.own_model.network import network

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


def test_a_network_that_ends_before_its_softmax(tmp_path: Path) -> None:
    make = Builder()
    logits = make.add("Gemm", make.add("Flatten", make.conv("images", 3, 4)), make.normal(1024, 3))
    path = make.save(tmp_path / "net.onnx", make.add("Softmax", logits, axis=1))
    assert type(network(path, 16, [logits]).layers[-1]).__name__ == "Dense"
