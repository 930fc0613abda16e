from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras

from softdpu.quantizer import positions_report, vitis_quantize

L = keras.layers
Quantizer = vitis_quantize.VitisQuantizer


def float_model():
    x = inputs = keras.Input((8, 8, 2))
    x = L.ReLU(6.0)(L.BatchNormalization(momentum=0.8)(L.Conv2D(4, 3, use_bias=False)(x)))
    x = L.ReLU()(L.BatchNormalization(momentum=0.8, scale=False)(L.DepthwiseConv2D(3, depth_multiplier=2)(x)))
    a = L.Conv2D(4, 1, activation="relu")(L.AveragePooling2D(2)(x))
    b = L.Conv2D(4, 1)(L.MaxPooling2D(2)(x))
    x = L.Flatten()(L.Dropout(0.2)(L.Concatenate()([a, L.LeakyReLU(0.1)(b)])))
    return keras.Model(inputs, L.Dense(3)(x))


def data(count=96):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, count)
    x = rng.normal(size=(count, 8, 8, 2)) + y[:, None, None, None]
    return x.astype(np.float32), y


def trained(strategy, epochs=3, **options):
    x, y = data()
    model = Quantizer(float_model(), quantize_strategy=strategy).get_qat_model(
        init_quant=True, calib_dataset=x, calib_batch_size=32, **options
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, shuffle=False).history
    return model, history


def assert_legal(model):
    report = positions_report(model)
    for name, entry in report.items():
        if "shift_cut" in entry:
            assert 0 <= entry["shift_cut"] <= 16, name
        if "shift_bias" in entry:
            assert min(0, entry["shift_cut"] - 16) <= entry["shift_bias"] <= 16, name
        if entry["class"] in ("MaxPooling2D", "VitisAveragePooling2D"):
            assert entry["input_pos"] == entry["output_pos"], name
        if entry["class"] == "Concatenate":
            assert set(entry["input_pos"]) == {entry["output_pos"]}, name


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("pof2s", {}),
        pytest.param("pof2s_tqt", {}, marks=pytest.mark.slow),
        pytest.param("pof2s", {"train_with_bn": True}, marks=pytest.mark.slow),
    ],
)
def test_train_save_load_deploy(strategy, options, tmp_path):
    x, y = data()
    model, history = trained(strategy, **options)
    assert history["loss"][-1] < history["loss"][0]
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "best.h5"), monitor="val_loss", save_best_only=True)
    model.fit(x, y, batch_size=32, verbose=0, validation_data=(x, y), callbacks=[checkpoint])
    output = model.predict(x, verbose=0)
    loaded = keras.models.load_model(tmp_path / "best.h5")
    assert np.array_equal(loaded.predict(x, verbose=0), output)
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))
    loaded.fit(x, y, batch_size=32, verbose=0)  # training goes on from the file

    deployed = Quantizer.get_deploy_model(model)
    assert_legal(deployed)
    kinds = {type(getattr(layer, "layer", layer)).__name__ for layer in deployed.layers}
    assert not kinds & {"Dropout", "BatchNormalization", "VitisConvBNQuantize", "VitisDepthwiseConvBNQuantize"}
    assert not any("log_th" in weight.name for weight in deployed.weights)
    # Positions that had to move change the output a little; on this model some do.
    assert np.mean(deployed.predict(x, verbose=0).argmax(1) == output.argmax(1)) > 0.95
    deployed.save(tmp_path / "deployed.h5")
    again = keras.models.load_model(tmp_path / "deployed.h5", compile=False)
    assert np.array_equal(again.predict(x, verbose=0), deployed.predict(x, verbose=0))


def test_folding_after_training_is_exact():
    x = inputs = keras.Input((6, 6, 2))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(3, 3)(x)))
    model = keras.Model(inputs, L.BatchNormalization(center=False)(L.DepthwiseConv2D(2)(x)))
    images = np.random.default_rng(0).normal(size=(64, 6, 6, 2)).astype(np.float32)
    qat = Quantizer(model).get_qat_model(init_quant=True, calib_dataset=images, train_with_bn=True)
    qat.compile("sgd", "mse")
    qat.fit(images, np.zeros((64, 3, 3, 3)), epochs=2, verbose=0)
    deployed = Quantizer.get_deploy_model(qat)
    assert np.array_equal(deployed.predict(images, verbose=0), qat.predict(images, verbose=0))


def test_normalization_that_cannot_be_trained_is_folded():
    x = inputs = keras.Input((4, 4, 2))
    x = L.BatchNormalization()(L.Conv2DTranspose(2, 2)(L.BatchNormalization()(x)))
    model = keras.Model(inputs, L.BatchNormalization()(L.Dense(3)(L.Flatten()(x))))
    qat = Quantizer(model).get_qat_model(train_with_bn=True)
    kinds = [type(layer.layer).__name__ for layer in qat.layers[2:]]
    assert kinds == ["DepthwiseConv2D", "Conv2DTranspose", "Flatten", "Dense"]


def test_statistics_freeze_after_the_delay():
    images = np.random.default_rng(0).normal(size=(64, 8, 8, 2)).astype(np.float32)
    model = Quantizer(float_model()).get_qat_model(train_with_bn=True, freeze_bn_delay=3)
    layer = model.layers[2]
    model.compile("sgd", "mse")

    def statistics_after(epochs):
        model.fit(images, np.zeros((64, 3)), batch_size=32, epochs=epochs, verbose=0)
        return layer.bn_layer.moving_mean.numpy()

    first, frozen = statistics_after(1), statistics_after(1)
    assert not np.array_equal(first, np.zeros(4))
    assert np.array_equal(frozen, statistics_after(1))
    assert not np.array_equal(first, frozen) or layer.optimizer_step.numpy() == 6


def test_init_quant_equals_post_training_quantization():
    x, _ = data()
    model = float_model()
    qat = Quantizer(model).get_qat_model(init_quant=True, calib_dataset=x)
    ptq = Quantizer(model).quantize_model(calib_dataset=x)
    assert np.array_equal(qat.predict(x, verbose=0), ptq.predict(x, verbose=0))
    assert positions_report(qat) == positions_report(ptq)


def test_training_takes_positions_from_the_batch_and_evaluation_keeps_them():
    inputs = keras.Input((2,))
    model = Quantizer(keras.Model(inputs, L.Dense(1)(inputs))).get_qat_model()
    quantizer = model.layers[1].quantizer
    for scale, position in ((1.0, 6), (30000.0, -8)):
        model(np.float32([[scale, 0.0]]), training=True)
        assert float(quantizer.position()) == position
    model(np.float32([[1.0, 0.0]]), training=False)
    assert float(quantizer.position()) == -8


def test_weights_that_were_frozen_in_the_float_model_are_trained():
    model = float_model()
    model.trainable = False
    qat = Quantizer(model).get_qat_model()
    assert len(qat.trainable_weights) == 10  # five kernels with biases
    qat.layers[2].trainable = False
    assert len(qat.trainable_weights) == 8
    assert len(qat.weights) == len(qat.trainable_weights) + len(qat.non_trainable_weights)


def test_thresholds_move():
    model, _ = trained("pof2s_tqt", epochs=1)
    thresholds = [weight for weight in model.trainable_weights if "log_th" in weight.name]
    fresh = Quantizer(float_model(), quantize_strategy="pof2s_tqt").get_qat_model(
        init_quant=True, calib_dataset=data()[0], calib_batch_size=32
    )
    before = [weight for weight in fresh.trainable_weights if "log_th" in weight.name]
    assert len(thresholds) == len(before) > 10
    assert any(float(a) != float(b) for a, b in zip(thresholds, before, strict=True))


PROGRAM = """
import sys
import tensorflow as tf
tf.config.experimental.enable_op_determinism()
from test_quantizer_training import keras, trained
for strategy in ("pof2s", "pof2s_tqt"):
    keras.utils.set_random_seed(7)
    model, _ = trained(strategy, epochs=1)
    for weight in model.get_weights():
        sys.stdout.write(weight.tobytes().hex())
"""


@pytest.mark.slow
def test_training_is_reproducible_under_op_determinism():
    """In processes of their own, because determinism cannot be switched off again."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 1000
