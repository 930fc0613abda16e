"""Functions, activations in every spelling and names that clash: right to the bit, or refused before quantization."""

from __future__ import annotations

import functools
import importlib.util
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softdpu.compiler import compile_model
from softdpu.compiler.layers.activation import ACTIVATIONS
from softdpu.compiler.layers.functions import FUNCTIONS
from softdpu.keras2 import kinds

keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")
L = keras.layers

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("layer_sweep", ROOT / "benchmarks/layer_sweep.py")
assert spec and spec.loader
sweep = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sweep)


def outcome(*layers: Any) -> tuple[str, str]:
    def middle(x: Any) -> Any:
        for layer in layers:
            x = layer(x)
        return x

    return sweep.judge(sweep.network(middle))


def helper(x: Any) -> Any:
    return tf.concat([x[..., :2], x[..., 4:]], -1)


ON_DPU: dict[str, Callable[[], list[Any]]] = {
    "relu6 function": lambda: [tf.nn.relu6],
    "clip": lambda: [lambda x: tf.clip_by_value(x, 0, 6)],
    "resize nearest": lambda: [lambda x: tf.image.resize(x, [24, 36], "nearest")],
    "pad": lambda: [lambda x: tf.pad(x, [[0, 0], [2, 1], [0, 3], [0, 0]])],
    "max pool": lambda: [lambda x: tf.nn.max_pool2d(x, [1, 3, 3, 1], [1, 2, 2, 1], "SAME")],
    "average pool": lambda: [lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID")],
    "leaky object": lambda: [L.Conv2D(8, 1, activation=L.LeakyReLU(0.1))],
    "leaky layer in Activation": lambda: [L.Conv2D(8, 1), L.Activation(L.LeakyReLU(0.1))],
    "ReLU with a slope": lambda: [L.Conv2D(8, 1), L.ReLU(negative_slope=0.1)],
    "ReLU6 object": lambda: [L.Conv2D(8, 1, activation=L.ReLU(6.0))],
    "leaky in a Lambda": lambda: [L.Conv2D(8, 1), L.Lambda(lambda x: tf.nn.leaky_relu(x, 0.1))],
    "identity layer": lambda: [L.Identity(), L.SpatialDropout2D(0.5)],
    "identity": lambda: [tf.identity, lambda x: tf.cast(x, tf.float32)],
    "relu6 in a Lambda": lambda: [L.Lambda(lambda x: tf.nn.relu6(x))],
    "stack": lambda: [lambda x: tf.stack([x, x], 3), L.Reshape((12, 24, 8))],
    "squeeze": lambda: [lambda x: tf.expand_dims(tf.squeeze(x[:, 3:4], axis=1), 1)],
    "depth to space": lambda: [lambda x: tf.nn.depth_to_space(x, 2)],
    "space to depth": lambda: [lambda x: tf.nn.space_to_depth(x, 3)],
    "bilinear": lambda: [lambda x: tf.image.resize(x, (24, 24))],
    "PReLU object": lambda: [L.Conv2D(8, 1, activation=L.PReLU(shared_axes=[1, 2]))],
    "PReLU object, separable": lambda: [L.SeparableConv2D(8, 3, activation=L.PReLU(shared_axes=[1, 2]))],
    "PReLU object, depthwise": lambda: [L.DepthwiseConv2D(3, activation=L.PReLU(shared_axes=[1, 2]))],
    "PReLU layer in Activation": lambda: [L.PReLU(shared_axes=[1, 2])],
}
ON_CPU: dict[str, Callable[[], list[Any]]] = {
    "split": lambda: [lambda x: tf.concat(tf.split(x, 4, 3)[::-1], 3)],
    "split in parts": lambda: [lambda x: tf.split(x, [3, 5], axis=-1)[1]],
    "numbers as index": lambda: [lambda x: x[:, 2][:, tf.newaxis]],
    "functions behind functions": lambda: [
        lambda x: tf.concat(tf.split(tf.nn.space_to_depth(x, 2), 2, -1), 1),
        lambda x: tf.squeeze(tf.reduce_mean(x[:, 1, tf.newaxis], [2], keepdims=True), 1),
        lambda x: tf.reshape(x, [-1, 1, 4, 4]),
    ],
    "last channel": lambda: [lambda x: x[..., -1:], L.Conv2D(3, 1)],
    "Lambda that calls a function": lambda: [L.Lambda(helper)],
    "Lambda with arguments": lambda: [L.Lambda(lambda x, by: x * by, arguments={"by": 0.5})],
    "PReLU object, no bias": lambda: [L.Conv2D(8, 1, use_bias=False, activation=L.PReLU())],
    "bilinear to any size": lambda: [lambda x: tf.image.resize(x, (5, 7))],
    "bilinear to any size, larger": lambda: [lambda x: tf.image.resize(x, (20, 7), method="bilinear"), L.ReLU()],
    "sequence turned": lambda: [lambda x: tf.transpose(tf.reshape(x, [-1, 144, 8]), [0, 2, 1]), L.Reshape((12, 12, 8))],
    "ELU object": lambda: [L.Conv2D(8, 1, activation=L.ELU(0.5))],
    "leaky function": lambda: [L.Conv2D(8, 1, activation=tf.nn.leaky_relu)],
    "leaky function in Activation": lambda: [L.Activation(tf.nn.leaky_relu)],
}
REFUSED: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "clip": (lambda: [lambda x: tf.clip_by_value(x, -1.0, 1.0)], r"tf.clip_by_value.*ReLU\(max_value=6\)"),
    "reflect": (lambda: [lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")], "pad.*ZeroPadding2D"),
    "square": (lambda: [tf.square], "tf.math.square.*Multiply"),
    "log": (lambda: [L.Lambda(tf.math.log, name="mine")], "layer mine: tf.math.log"),
    "selu": (lambda: [L.Conv2D(8, 1, activation="selu", name="c")], "layer c_selu.*activation selu: use one of"),
    "mish": (lambda: [L.Activation("mish", name="m")], "layer m .*activation mish: use one of"),
    "softplus": (lambda: [L.Dense(8, activation="softplus")], "activation softplus"),
    "softsign": (lambda: [L.Activation("softsign")], "activation softsign: use one of"),
    "exponential": (lambda: [L.Conv2D(8, 1, activation="exponential")], "activation exponential: use one of"),
    "limit": (lambda: [L.ReLU(4.0, name="r")], r"layer r \(ReLU\): a limit other than 6"),
    "limit of an object": (lambda: [L.Conv2D(8, 1, activation=L.ReLU(4.0))], "a limit other than 6"),
    "output padding": (lambda: [L.Conv2DTranspose(4, 3, 2, output_padding=1)], "output_padding"),
    "normalization": (lambda: [L.LayerNormalization(name="ln")], "layer ln: LayerNormalization.*custom_objects"),
    "time": (lambda: [L.Reshape((144, 8)), L.LSTM(4)], "LSTM.*convolutions over time"),
    "resizing": (lambda: [L.Resizing(6, 6)], "Resizing.*UpSampling2D"),
    "partial": (
        lambda: [L.Conv2D(8, 1, activation=functools.partial(tf.nn.leaky_relu, alpha=0.1))],
        "a partial as activation.*activation layer",
    ),
    "nearest to any size": (lambda: [lambda x: tf.image.resize(x, (5, 7), "nearest")], "image.resize.*UpSampling2D"),
    "bicubic function": (lambda: [lambda x: tf.image.resize(x, (24, 24), "bicubic")], "image.resize.*UpSampling2D"),
    "mean of all": (lambda: [tf.reduce_mean], "reduce_mean.*across the images"),
    "mean over images": (lambda: [lambda x: tf.reduce_mean(x, 0, keepdims=True)], "across the images"),
    "images joined": (lambda: [lambda x: tf.concat([x, x], 0)], "tf.concat: works across the images"),
    "images joined by a layer": (lambda: [lambda x: L.Concatenate(0, name="j")([x, x])], "layer j: .*keep axis 0"),
    "images turned": (lambda: [lambda x: tf.transpose(x, [1, 0, 2, 3])], "across the images"),
    "images in a reshape": (lambda: [lambda x: tf.reshape(x, [-1, 4, 4, 8])], "tf.reshape: works across the images"),
    "one image": (lambda: [lambda x: x[:1]], "across the images"),
    "backwards": (lambda: [lambda x: x[:, ::-1]], "the step -1: use positive steps"),
    "normalized rows": (lambda: [L.BatchNormalization(axis=1, name="b")], r"layer b .*use axis=-1"),
    "LSTM of images": (lambda: [L.Reshape((4, 6, 6, 8)), L.ConvLSTM2D(4, 3)], "ConvLSTM2D.*convolutions over time"),
    "bicubic": (lambda: [L.UpSampling2D(interpolation="bicubic")], "interpolation bicubic"),
}


@pytest.mark.parametrize("name", ON_DPU)
def test_right_on_the_dpu(name: str) -> None:
    assert outcome(*ON_DPU[name]()) == ("DPU", "")


@pytest.mark.parametrize("name", ON_CPU)
def test_right_on_the_cpu(name: str) -> None:
    assert outcome(*ON_CPU[name]())[0] == "CPU"


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_quantization(name: str) -> None:
    layers, text = REFUSED[name]
    found, line = outcome(*layers())
    assert found == "refused"
    assert re.search(text, line), line


def test_one_list_of_activations_and_functions() -> None:
    assert kinds.ACTIVATIONS - {"linear"} == set(ACTIVATIONS)
    assert set(FUNCTIONS) == kinds.FUNCTIONS
    assert (
        set(kinds.SIGMOIDS) <= kinds.ACTIVATIONS
        and (kinds.PRE_ACTIVATIONS | kinds.POST_ACTIVATIONS | {"leaky_relu", "silu"}) >= kinds.ACTIVATIONS
    )


def test_every_activation_that_the_message_proposes_is_taken() -> None:
    (line,) = (outcome(L.Activation("softsign"))[1],)
    proposed = line.split("use one of ")[1].split(", ")
    assert set(proposed) == kinds.ACTIVATIONS
    # relu6 and leaky_relu are names of TensorFlow's functions, which Keras 2 does not know as text
    spelled = {"relu6": tf.nn.relu6, "leaky_relu": tf.nn.leaky_relu}
    assert outcome(*(L.Conv2D(3, 1, activation=spelled.get(name, name)) for name in proposed))[0] in ("DPU", "CPU")


CLASHES = [("c", f"c_{end}") for end in ("bias", "fix", "weights", "bias_fixneuron", "weights_fixneuron", "relu", "1")]


@pytest.mark.parametrize(("first", "second"), [*CLASHES, ("quant_c", "c"), ("a/c", "a/c_bias"), ("c", "quant_c")])
def test_names_that_clash(first: str, second: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def middle(x: Any) -> Any:
        shared = L.Conv2D(8, 3, activation="relu", padding="same", name=first)
        return L.Conv2D(4, 1, name=second)(shared(shared(x)))

    with caplog.at_level(logging.INFO):
        found, why = sweep.judge(sweep.network(middle))
    assert (found, why) == ("DPU", "")
    if second in ("c_bias", "c_relu"):
        assert "is another layer's" in caplog.text or "so the quantizer's own is named" in caplog.text


def test_user_names_stay(tmp_path: Path) -> None:
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    model = sweep.network(lambda x: L.Conv2D(4, 1, name="c_bias")(L.Conv2D(8, 3, name="c")(x)))
    images = np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype(np.float32)
    VitisQuantizer(model).quantize_model(calib_dataset=images).save(tmp_path / "q.h5")
    summary = compile_model(tmp_path / "q.h5", "zcu102", tmp_path / "q.xmodel")
    assert {"quant_c", "quant_c_bias"} <= {place["layer"] for place in summary["layers"]}
    assert {place["layer"]: place["operation"] for place in summary["layers"]}["quant_c_bias"] == "conv2d-fix"
