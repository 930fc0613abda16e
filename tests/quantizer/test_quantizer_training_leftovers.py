"""What training leaves in a model (short float types, augmentation, masks): quantized as if it were not there."""

import numpy as np
import pytest
import tf_keras as keras

from softdpu.quantizer import positions_report
from softdpu.quantizer.vitis_quantize import VitisQuantizer as Quantizer

L = keras.layers
X = np.random.default_rng(0).uniform(-1, 1, (8, 12, 12, 3)).astype(np.float32)


def network(*front, end="float32"):
    return keras.Sequential(
        [
            L.Input((12, 12, 3)),
            *front,
            L.Conv2D(6, 3),
            L.BatchNormalization(),
            L.ReLU(),
            L.Conv2D(4, 3, activation="swish"),
            L.GlobalAveragePooling2D(),
            L.Dense(5),
            L.Activation("softmax", dtype=end),
        ]
    )


def same_weights(model):
    rng = np.random.default_rng(3)
    weights = [rng.uniform(0.1, 0.9, w.shape) * rng.choice([-1, 1], w.shape) for w in model.get_weights()]
    model.set_weights([np.abs(w) if "variance" in v.name else w for w, v in zip(weights, model.weights, strict=True)])
    return model


def values(quantized):
    return [list(tensors.values()) for tensors in positions_report(quantized).values()]


@pytest.fixture(scope="module")
def plain():
    quantized = Quantizer(same_weights(network())).quantize_model(calib_dataset=X)
    return values(quantized), quantized.predict(X, verbose=0)


@pytest.fixture
def policy():
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy("float32")
    keras.backend.set_floatx("float32")


@pytest.mark.parametrize(("name", "still_set"), [("mixed_float16", True), ("mixed_bfloat16", False)])
def test_mixed_precision(name, still_set, plain, policy, tmp_path):
    policy(name)
    model = same_weights(network())
    if not still_set:
        policy("float32")
    model.save(tmp_path / "float.h5")
    quantized = Quantizer(model if still_set else keras.models.load_model(tmp_path / "float.h5")).quantize_model(
        calib_dataset=X
    )
    assert values(quantized) == plain[0]
    assert np.array_equal(quantized.predict(X, verbose=0), plain[1])
    assert {layer.compute_dtype for layer in quantized.layers} == {"float32"}
    assert "float16" not in quantized.to_json()
    assert keras.mixed_precision.global_policy().name == (name if still_set else "float32")


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_all_of_it_in_half(name, policy):
    policy(name)
    model = keras.Sequential([L.Input((12, 12, 3)), L.Conv2D(6, 3, activation="relu"), L.Flatten(), L.Dense(3)])
    policy("float32")
    quantized = Quantizer(model).quantize_model(calib_dataset=X)
    assert {weight.dtype.name for weight in quantized.weights} <= {"float32", "int32"}
    assert np.isfinite(quantized.predict(X, verbose=0)).all()


def test_mixed_precision_in_training(policy, plain):
    policy("mixed_float16")
    qat = Quantizer(same_weights(network())).get_qat_model(init_quant=True, calib_dataset=X)
    assert values(qat) == plain[0]
    qat.compile(loss="mse", optimizer="sgd")
    assert np.isfinite(qat.fit(X, np.zeros((8, 5)), verbose=0).history["loss"]).all()
    assert {layer.compute_dtype for layer in Quantizer.get_deploy_model(qat).layers} == {"float32"}


AUGMENTATION = {
    "flip": lambda: [L.RandomFlip()],
    "turn": lambda: [L.RandomRotation(0.1), L.RandomZoom(0.2, 0.1)],
    "move": lambda: [L.RandomTranslation(0.1, 0.1), L.RandomContrast(0.1)],
    "light": lambda: [L.RandomBrightness(0.2)],
    "a model of them": lambda: [
        keras.Sequential([L.Input((12, 12, 3)), L.RandomFlip("horizontal"), L.RandomZoom(0.1)])
    ],
    "masking": lambda: [L.Masking()],
}


@pytest.mark.parametrize("kind", AUGMENTATION)
def test_what_does_nothing_at_inference_goes(kind, plain):
    model = same_weights(network(*AUGMENTATION[kind]()))
    quantized = Quantizer(model).quantize_model(calib_dataset=X)
    assert not [layer.name for layer in quantized.layers if "random" in layer.name or "masking" in layer.name]
    assert values(quantized) == plain[0]
    assert np.array_equal(quantized.predict(X, verbose=0), plain[1])


def test_augmentation_that_is_to_stay():
    model = network(L.RandomFlip(name="flip"))
    kept = Quantizer(model).quantize_model(calib_dataset=X, remove_dropout=False)
    assert any(layer.name == "flip" for layer in kept.layers)
    assert any(layer.name == "flip" for layer in Quantizer(model).optimize_model({"ignore_layers": ["flip"]}).layers)


def test_masking_of_other_values_is_no_identity():
    model = network(L.Masking(mask_value=0.5, name="mask"))
    assert "mask" in [layer.name for layer in Quantizer(model).optimize_model().layers]
