"""The recipe `rescue` as a whole, on networks of many shapes: never worse, in AMD's format, a start for training."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest

from softdpu.quantizer import vitis_quantize
from softdpu.quantizer.wrappers import list_quantized_layers
from softdpu.rescue import STEPS, Rescue
from softdpu.rescue.recipe import LEARNING

keras = pytest.importorskip("tf_keras")
L = keras.layers

SHAPE = (16, 16, 3)


def residual() -> keras.Model:
    x = inputs = keras.Input(SHAPE)
    x = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    for _ in range(2):
        y = L.Conv2D(8, 3, padding="same", use_bias=False)(x)
        y = L.BatchNormalization()(y)
        x = L.ReLU()(L.Add()([x, y]))
    return keras.Model(inputs, L.Dense(4, activation="softmax")(L.GlobalAveragePooling2D()(x)))


def u_net() -> keras.Model:
    x = inputs = keras.Input(SHAPE)
    a = L.Conv2D(6, 3, padding="same", activation="relu")(x)
    b = L.Conv2D(8, 3, padding="same", activation="relu")(L.MaxPooling2D()(a))
    c = L.Conv2DTranspose(6, 2, strides=2)(b)
    x = L.Concatenate()([a, c])
    return keras.Model(inputs, L.Conv2D(2, 1)(x))


def odds_and_ends() -> keras.Model:
    x = inputs = keras.Input(SHAPE)
    x = L.SeparableConv2D(8, 3, padding="same", activation="relu")(x)
    x = L.Conv2D(6, 3, activation="swish")(x)
    x = L.LeakyReLU(0.1)(L.Conv2D(6, 1)(x))
    x = L.AveragePooling2D(2)(x)
    x = L.PReLU(shared_axes=[1, 2])(L.DepthwiseConv2D(3, padding="same")(x))
    y = L.Conv2D(6, 1, activation="sigmoid")(x)
    x = L.Multiply()([x, y])
    return keras.Model(
        inputs, [L.Dense(3, name="a")(L.Flatten()(x)), L.Dense(2, activation="tanh", name="b")(L.Flatten()(x))]
    )


def inverted_residual() -> keras.Model:
    x = inputs = keras.Input(SHAPE)
    x = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)))
    for _ in range(2):
        y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(18, 1, use_bias=False)(x)))
        y = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)))
        x = L.Add()([x, L.BatchNormalization()(L.Conv2D(6, 1, use_bias=False)(y))])
    return keras.Model(inputs, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


def called_twice() -> keras.Model:
    x = inputs = keras.Input(SHAPE)
    shared = L.Conv2D(3, 3, padding="same", activation="relu")
    return keras.Model(inputs, L.Dense(2)(L.Flatten()(shared(shared(x)))))


def sequential() -> keras.Model:
    layers = [L.InputLayer(SHAPE), L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Dropout(0.5), L.Flatten()]
    return keras.Sequential([*layers, L.Dense(3)])


NETWORKS = {f.__name__: f for f in (residual, inverted_residual, u_net, odds_and_ends, called_twice, sequential)}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (40, *SHAPE)).astype(np.float32)


def made(name: str) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = NETWORKS[name]()
    random = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            mean = layer.moving_mean.numpy()
            shape = mean.shape
            layer.set_weights(
                [random.uniform(0.5, 2, shape), random.normal(0, 1, shape), mean, random.uniform(0.01, 2, shape)]
            )
    return model


def outputs(model: keras.Model, images: np.ndarray) -> list[np.ndarray]:
    found = model.predict(images, verbose=0)
    return found if isinstance(found, list) else [found]


def error(model: keras.Model, reference: keras.Model, images: np.ndarray) -> float:
    pairs = zip(outputs(model, images), outputs(reference, images), strict=True)
    return sum(float(np.sum((a - b) ** 2)) for a, b in pairs)


@pytest.mark.parametrize("name", NETWORKS)
def test_never_worse_and_in_the_same_format(name: str, images: np.ndarray, tmp_path: Path) -> None:
    model = made(name)
    vitis = vitis_quantize.VitisQuantizer(model).quantize_model(calib_dataset=images)
    recipe = Rescue(tuple(STEPS))
    quantized = vitis_quantize.VitisQuantizer(model, recipe=recipe).quantize_model(calib_dataset=images)
    assert [step["step"] for step in recipe.report] == list(STEPS)
    for step in recipe.report:
        assert not step["kept"] or step["after"] < step["before"]
    judged = [step for step in recipe.report if step["step"] not in LEARNING]
    assert all(step["kept"] == (step["after"] < step["before"]) for step in judged)
    for first, second in itertools.pairwise(judged):
        assert second["before"] == pytest.approx(first["after"] if first["kept"] else first["before"])
    if name not in ("residual",):  # there the steps compare the logarithms of probabilities
        assert error(quantized, model, images) <= 1.02 * error(vitis, model, images)
    path = tmp_path / "quantized.h5"
    quantized.save(path)
    loaded = keras.models.load_model(path, compile=False)
    for a, b in zip(outputs(loaded, images), outputs(quantized, images), strict=True):
        np.testing.assert_array_equal(a, b)
    names = [layer.name for layer in quantized.layers]
    assert names == [layer.name for layer in vitis.layers]


def test_same_data_same_bytes(images: np.ndarray) -> None:
    weights = []
    for _ in range(2):
        model = made("u_net")
        quantizer = vitis_quantize.VitisQuantizer(model, recipe="rescue+learned_rounding")
        weights.append(quantizer.quantize_model(calib_dataset=images).get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_data_that_can_be_read_once(images: np.ndarray) -> None:
    model = made("sequential")
    batches = ((images[at : at + 8], np.zeros(8)) for at in range(0, 40, 8))
    once = vitis_quantize.VitisQuantizer(model, recipe="rescue").quantize_model(calib_dataset=batches)
    again = vitis_quantize.VitisQuantizer(model, recipe="rescue").quantize_model(
        calib_dataset=images, calib_batch_size=8
    )
    for a, b in zip(once.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("strategy", ["pof2s", "pof2s_tqt"])
def test_training_starts_from_the_rescued_network(images: np.ndarray, strategy: str) -> None:
    model = made("sequential")
    quantizer = vitis_quantize.VitisQuantizer(model, quantize_strategy=strategy, recipe="rescue")
    trainable = quantizer.get_qat_model(init_quant=True, calib_dataset=images)
    ptq = vitis_quantize.VitisQuantizer(model, quantize_strategy=strategy, recipe="rescue").quantize_model(
        calib_dataset=images
    )
    np.testing.assert_allclose(trainable(images, training=False), ptq(images, training=False), atol=1e-6)
    trainable.compile("sgd", "mse")
    trainable.fit(images, np.zeros((40, 3)), epochs=1, verbose=0)


def test_a_step_that_does_not_help_is_undone_and_the_log_says_so(images, caplog: pytest.LogCaptureFixture) -> None:
    model = made("sequential")
    recipe = Rescue(steps=("dead_channels",))  # there is none
    with caplog.at_level(logging.INFO):
        rescued = vitis_quantize.VitisQuantizer(model, recipe=recipe).quantize_model(calib_dataset=images)
    assert "dead_channels: none found" in caplog.text and "undone" in caplog.text
    plain = vitis_quantize.VitisQuantizer(model).quantize_model(calib_dataset=images)
    for layer, other in zip(list_quantized_layers(rescued), list_quantized_layers(plain), strict=True):
        for a, b in zip(layer.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_normalization_in_training_keeps_the_vitis_recipe(images: np.ndarray) -> None:
    quantizer = vitis_quantize.VitisQuantizer(made("sequential"), recipe="rescue")
    trainable = quantizer.get_qat_model(init_quant=True, calib_dataset=images, train_with_bn=True)
    assert trainable(images[:2]).shape == (2, 3)
