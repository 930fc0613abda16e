"""Networks of many shapes: float transforms keep the function, quantized outputs are what integers give."""

from __future__ import annotations

import numpy as np
import pytest
import quantizer_reference as reference
import tensorflow as tf
import tf_keras as keras

from softdpu.quantizer import QuantizerError, positions_report, vitis_quantize
from softdpu.quantizer.layers import dpu

L = keras.layers
Quantizer = vitis_quantize.VitisQuantizer


def images(model, count=32, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(count, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    return arrays[0] if len(arrays) == 1 else arrays


def randomized(model):
    """Give every BatchNormalization statistics that folding could get wrong."""
    rng = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.uniform(-0.5, 0.5, layer.bias.shape))
    return model


def sequential():
    return keras.Sequential(
        [
            L.Conv2D(6, 3, use_bias=False, input_shape=(10, 10, 3)),
            L.BatchNormalization(),
            L.ReLU(),
            L.Dropout(0.3),
            L.Flatten(),
            L.Dense(8, activation="relu"),
            L.BatchNormalization(),
            L.Dense(4, activation="softmax"),
        ]
    )


def residual():
    x = inputs = keras.Input((12, 12, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, padding="same", strides=2)(x)))
    y = L.ReLU()(L.BatchNormalization()(L.Conv2D(6, 3, padding="same")(x)))
    y = L.BatchNormalization()(L.Conv2D(6, 3, padding="same")(y))
    x = L.ReLU()(L.Add()([x, y]))
    return keras.Model(inputs, L.Dense(5)(L.GlobalAveragePooling2D()(L.MaxPooling2D()(x))))


def inverted_residual():
    x = inputs = keras.Input((8, 8, 4))
    y = L.ReLU(6.0)(L.BatchNormalization()(L.Conv2D(8, 1, use_bias=False)(x)))
    y = L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, padding="same", use_bias=False)(y)))
    y = L.BatchNormalization()(L.Conv2D(4, 1, use_bias=False)(y))
    return keras.Model(inputs, L.Add()([x, y]))


def unet():
    x = inputs = keras.Input((8, 8, 3))
    a = L.Conv2D(6, 3, padding="same", activation="relu")(x)
    b = L.Conv2D(8, 3, padding="same", activation="relu")(L.MaxPooling2D()(a))
    up = L.ReLU()(L.BatchNormalization()(L.Conv2DTranspose(6, 2, strides=2)(L.Dropout(0.5)(b))))
    c = L.Conv2D(6, 3, padding="same", activation="relu")(L.Concatenate()([a, up]))
    d = L.Conv2D(2, 1, activation="sigmoid")(L.UpSampling2D(interpolation="bilinear")(b))
    return keras.Model(inputs, [L.Conv2D(2, 1)(c), d])


def shared():
    a, b = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    conv = L.Conv2D(4, 3, name="twice")
    x, y = L.ReLU()(conv(a)), L.ReLU()(conv(b))
    return keras.Model([a, b], L.Multiply()([x, y]))


def nested():
    block = keras.Sequential([L.Conv2D(4, 3, padding="same", input_shape=(8, 8, 4)), L.BatchNormalization(), L.ReLU()])
    inner_input = keras.Input((8, 8, 4))
    inner = keras.Model(inner_input, L.Add()([inner_input, block(inner_input)]))
    inputs = keras.Input((8, 8, 4))
    return keras.Model(inputs, L.Conv2D(2, 1)(inner(inner(inputs), training=False)))


def separable():
    x = inputs = keras.Input((8, 8, 3))
    x = L.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization(center=False)(x))
    x = L.SeparableConv2D(6, 3, activation="relu", depth_multiplier=2)(x)
    return keras.Model(inputs, L.LeakyReLU(0.1)(L.BatchNormalization(scale=False)(x)))


def dense():
    return keras.Sequential(
        [
            L.Dense(9, activation="relu", input_shape=(12,)),
            L.BatchNormalization(),
            L.Dense(5, activation="tanh"),
            L.Dense(3),
        ]
    )


MODELS = [sequential, residual, inverted_residual, unet, shared, nested, separable, dense]


@pytest.mark.parametrize("build", MODELS)
def test_the_float_transforms_keep_the_function(build):
    model = randomized(build())
    x = images(model)
    optimized = Quantizer(model).optimize_model()
    for expected, found in zip(tf.nest.flatten(model(x)), tf.nest.flatten(optimized(x)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    kinds = {type(layer).__name__ for layer in optimized.layers}
    assert not kinds & {"BatchNormalization", "Dropout", "SeparableConv2D", "Sequential", "Functional"}


@pytest.mark.parametrize("build", MODELS)
def test_quantized_models_are_near_the_float_ones_and_legal(build, tmp_path):
    model = randomized(build())
    x = images(model)
    quantized = Quantizer(model).quantize_model(calib_dataset=x)
    outputs = tf.nest.flatten(quantized(x))
    for expected, found in zip(tf.nest.flatten(model(x)), outputs, strict=True):
        # The absolute part is for the hard sigmoid, which is up to 0.06 from the true one.
        assert np.mean((found - expected) ** 2) < 0.02 * np.var(expected) + 1e-3
    for name, entry in positions_report(quantized).items():
        assert 0 <= entry.get("shift_cut", 0) <= 16, name
        assert min(0, entry.get("shift_cut", 0) - 16) <= entry.get("shift_bias", 0) <= 16, name
    quantized.save(tmp_path / "q.h5")
    again = keras.models.load_model(tmp_path / "q.h5", compile=False)
    assert all(np.array_equal(a, b) for a, b in zip(outputs, tf.nest.flatten(again(x)), strict=True))


def integer_output(model, x, batches):
    """Quantize and run residual() in plain integers: calibration with votes, refine rules, layers."""
    conv = [layer for layer in model.layers if isinstance(layer, (L.Conv2D, L.Dense))]
    weights = [layer.get_weights() for layer in conv]
    wpos = [reference.least_error_position(w, reference.HALF_TO_EVEN) for w, _ in weights]
    bpos = [reference.least_error_position(b, reference.HALF_TO_EVEN) for _, b in weights]
    assert all(b.any() for _, b in weights)

    def forward(images, positions, wpos, bpos):
        """Run in integers; positions None means calibration, which chooses them."""
        chosen = []

        def settle(accumulator, accumulator_position):
            real = (accumulator / 2.0**accumulator_position).astype(np.float32)
            p = positions[len(chosen)] if positions else reference.least_error_position(real, reference.HALF_UP)
            chosen.append(p)
            return reference.saturate(reference.shift_round(accumulator, accumulator_position - p)), p

        def layer(index, x, p, stride, relu):
            w, b = weights[index]
            wq = reference.integers(w, wpos[index], reference.HALF_TO_EVEN)
            bq = reference.integers(b, bpos[index], reference.HALF_TO_EVEN)
            acc = x @ wq if w.ndim == 2 else reference.convolve(x, wq, stride, same=True)
            at = p + wpos[index]
            if bpos[index] > at:
                acc, at = acc * 2 ** (bpos[index] - at), bpos[index]
            acc = acc + bq * 2 ** (at - bpos[index])
            return settle(np.maximum(acc, 0) if relu else acc, at)

        p = positions[0] if positions else reference.position_without_overflow(images)
        chosen.append(p)
        q = reference.integers(images, p, reference.HALF_UP)
        a, pa = layer(0, q, p, 2, True)
        b, pb = layer(1, a, pa, 1, True)
        c, pc = layer(2, b, pb, 1, False)
        top = max(pa, pc)
        total = a * 2 ** (top - pa) + c * 2 ** (top - pc)
        s, ps = settle(np.maximum(total, 0), top)
        m = s.reshape(len(s), 3, 2, 3, 2, -1).max(axis=(2, 4))
        m, pm = settle(m, ps)
        # 3x3 global average: sum * 7 / 2**6
        g, pg = settle(m.sum(axis=(1, 2)) * 7, pm + 6)
        out, po = layer(3, g, pg, 1, False)
        return out / 2.0**po, chosen

    votes = [forward(batch, None, wpos, bpos)[1] for batch in batches]
    positions = [reference.vote([v[i] for v in votes]) for i in range(len(votes[0]))]
    reads = [0, 1, 2, 6]  # the position that each convolution reads; it writes reads + 1, Dense 7
    for index, read in enumerate(reads):
        ipos, opos = positions[read], positions[read + 1]
        cut = min(max(wpos[index] + ipos - opos, 0), 16)
        wpos[index] = cut + opos - ipos
        shift = min(max(wpos[index] + ipos - bpos[index], min(0, cut - 16)), 16)
        bpos[index] = wpos[index] + ipos - shift
    pool = min(positions[4], positions[5])
    positions[4] = positions[5] = pool
    return forward(x, positions, wpos, bpos)[0]


def test_a_residual_network_in_plain_integers():
    model = randomized(residual())
    x = images(model, 40, seed=5)
    quantizer = Quantizer(model)
    float_model = quantizer.optimize_model(include_cle=False)
    quantized = quantizer.quantize_model(calib_dataset=x, calib_batch_size=8, include_cle=False)
    expected = integer_output(float_model, x, [x[at : at + 8] for at in range(0, 40, 8)])
    assert np.array_equal(quantized.predict(x, verbose=0), expected)


def test_votes_follow_batches_and_the_first_wins_a_tie():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, L.Dense(2)(inputs))
    x = np.random.default_rng(0).uniform(-1, 1, (32, 4)).astype(np.float32)
    x[:, 0] = 1.0
    x[16:] *= 8

    def position(size):
        quantized = Quantizer(model).quantize_model(calib_dataset=x, calib_batch_size=size)
        return positions_report(quantized)["quant_" + inputs.name]["quant_" + inputs.name + "_pos"]

    assert [position(4), position(16), position(32)] == [6, 6, 3]


def test_a_shared_layer_is_quantized_at_each_call():
    quantized = Quantizer(shared()).quantize_model(calib_dataset=images(shared()))
    assert {"quant_twice", "quant_twice_1"} <= set(positions_report(quantized))


@pytest.mark.parametrize("strategy", ["pof2s", "pof2s_tqt"])
def test_a_dead_relu_spoils_nothing(strategy):
    inputs = keras.Input((6, 6, 3))
    conv = L.Conv2D(4, 3, name="conv")
    model = keras.Model(inputs, L.Dense(3)(L.Flatten()(L.ReLU(name="dead")(conv(inputs)))))
    conv.set_weights([conv.get_weights()[0], np.full(4, -90.0)])
    report = positions_report(Quantizer(model, quantize_strategy=strategy).quantize_model(calib_dataset=images(model)))
    assert report["quant_dead"]["output_0_pos"] == report["quant_" + inputs.name]["quant_" + inputs.name + "_pos"]
    assert report["quant_conv"]["kernel_pos"] <= 12


def test_average_pooling_is_the_dpus_on_ties():
    """Window sum 73 of positive integers at position 0: 73 * 7 / 64 = 7.98; a tie needs the exact sum."""
    inputs = keras.Input((3, 3, 1))
    model = keras.Model(inputs, L.GlobalAveragePooling2D()(inputs))
    x = np.random.default_rng(2).integers(-128, 128, (4000, 3, 3, 1)).astype(np.float32)
    x[:8, 0, 0] = np.float32([[127], [-128]] * 4)
    quantized = Quantizer(model).quantize_model(calib_dataset=x, calib_batch_size=4000)
    pos = positions_report(quantized)["quant_global_average_pooling2d"]["output_0_pos"]
    total = x.astype(np.int64).sum(axis=(1, 2)) * 7
    expected = reference.saturate(reference.shift_round(total, 6 - pos))
    assert np.array_equal(quantized.predict(x, verbose=0) * 2.0**pos, expected)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("pool", "strides"), [((3, 3), (2, 2)), ((2, 3), (2, 3)), ((3, 1), (1, 2)), ((2, 2), (1, 1))])
def test_average_pooling_windows(pool, strides, padding):
    x = np.random.default_rng(0).integers(-9, 9, (2, 7, 8, 3)).astype(np.float32)
    plain = L.AveragePooling2D(pool, strides, padding)(x)
    found = dpu.VitisAveragePooling2D(pool_size=pool, strides=strides, padding=padding)(x)
    factor = dpu.rescale_factor(*pool, is_global=False)
    np.testing.assert_allclose(found, plain * factor, rtol=1e-5, atol=1e-5)


def test_measured_pooling_factors():
    """What AMD's quantizer multiplies the mean by."""
    squares = {3: 0.984375, 5: 0.9765625, 6: 0.984375, 7: 1.0048828125, 14: 1.0048828125, 256: 1.0, 8: 1.0, 32: 1.0}
    squares.update({9: 0.9986572265625, 10: 1.0009765625, 11: 1.00439453125, 12: 1.001953125, 13: 1.00054931640625})
    squares.update({15: 1.00250244140625, 28: 1.0048828125, 56: 1.0048828125, 112: 1.0048828125})
    for side, factor in squares.items():
        assert dpu.rescale_factor(side, side, is_global=True) == factor
        assert float(dpu.dynamic_rescale_factor(tf.constant(side), tf.constant(side))) == np.float32(factor)
    assert dpu.rescale_factor(2, 3, is_global=True) == 0.984375
    assert dpu.rescale_factor(3, 4, is_global=True) == 0.99609375


def test_data_in_every_form():
    model = dense()
    x = np.random.default_rng(0).normal(size=(64, 12)).astype(np.float32)
    forms = [
        (x, 16),
        (tf.data.Dataset.from_tensor_slices((x, np.zeros(64))).batch(16), None),
        ((x[at : at + 16] for at in range(0, 64, 16)), None),
    ]
    found = [
        positions_report(Quantizer(model).quantize_model(calib_dataset=data, calib_batch_size=size))
        for data, size in forms
    ]
    assert found[0] == found[1] == found[2]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = L.Dense(2)

    def call(self, inputs):
        return self.layer(inputs)


def nan_layer():
    inputs = keras.Input((3,))
    x = keras.layers.Lambda(lambda t: tf.math.log(t), name="log")(inputs)
    return keras.Model(inputs, L.Dense(2)(x))


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (lambda: Quantizer(None), "cannot be None"),
        (lambda: Quantizer(3), "only be a tf_keras Model"),
        (lambda: Quantizer(Subclassed()), "subclassed model.*functional API"),
        (lambda: Quantizer(keras.Sequential([L.Dense(2)])), "without input shape"),
        (lambda: Quantizer(dense(), quantize_strategy="best"), "expected one of pof2s"),
        (lambda: Quantizer(dense(), quantize_strategy="fs"), "not a power-of-two"),
        (lambda: Quantizer(dense(), target="DPUCZDX9"), "target DPUCZDX9: expected the name of a DPU"),
        (lambda: Quantizer(dense(), target="0x1"), "Invalid_Target.*target 0x1"),
        (lambda: Quantizer(dense(), target="none/arch.json"), "Invalid_Target.*none/arch.json"),
        (lambda: Quantizer(dense(), target="0x1", target_type="board"), "target_type board: expected one of name"),
        (lambda: Quantizer(dense(), recipe="best"), "recipe best"),
        (lambda: Quantizer(dense()).quantize_model(), "Need to assign `calib_dataset`"),
        (lambda: Quantizer(dense()).get_qat_model(init_quant=True), "Need to assign `calib_dataset`"),
        (lambda: Quantizer(dense()).quantize_model(calib_dataset=np.ones((2, 12)), foo=1), r"\('foo', 1\)"),
        (lambda: Quantizer(dense()).quantize_model(calib_dataset=np.ones((0, 12))), "at least one batch"),
        (lambda: Quantizer(dense()).quantize_model(calib_dataset=np.full((33, 12), np.inf)), "batch 0 holds NaN"),
        (
            lambda: Quantizer(nan_layer(), custom_objects={"Lambda": keras.layers.Lambda}).quantize_model(
                calib_dataset=-np.ones((2, 3))
            ),
            "batch 0: layer quant_log",
        ),
        (
            lambda: Quantizer(dense()).quantize_model(calib_dataset=np.ones((2, 12)), input_shape=(1, 12, 1)),
            "Invalid_Input_Shape",
        ),
        (lambda: Quantizer(dense()).quantize_model(calib_dataset=np.ones((2, 12)), loss="mse"), "`eval_dataset`"),
        (lambda: Quantizer(dense()).convert_model("int8"), "target_dtype 'int8': expected one of float16"),
        (lambda: Quantizer(dense()).set_model_with_layer_config({"no": "int8"}), "has no layer no"),
        (
            lambda: Quantizer(dense()).quantize_model(calib_dataset=np.ones((2, 12)), layer_config={"dense": "int4"}),
            "layer dense: expected one of float16.*got 'int4'",
        ),
        (lambda: Quantizer.get_deploy_model(dense()), "expected a quantized"),
        (
            lambda: Quantizer(keras.Sequential([L.Dense(2, activation=lambda x: x, input_shape=(3,))])),
            "a lambda as activation",
        ),
    ],
)
def test_mistakes_have_one_clear_line(mistake, text):
    with pytest.raises(QuantizerError, match=text) as caught:
        mistake()
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_a_quantized_model_is_refused():
    quantized = Quantizer(dense()).quantize_model(calib_dataset=np.ones((2, 12), np.float32))
    with pytest.raises(QuantizerError, match="quantized already"):
        Quantizer(quantized)


def test_a_broken_weight_names_its_layer():
    model = dense()
    kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([kernel * np.nan, bias])
    with pytest.raises(QuantizerError, match=model.layers[0].name):
        Quantizer(model).optimize_model()
