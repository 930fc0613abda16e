"""Each step of the recipe `rescue` alone, on small networks, against plain numpy or the network itself."""

from __future__ import annotations

import numpy as np
import pytest
from caught_network import Catch

from softdpu.numbers import fixed_point
from softdpu.quantizer import QuantizerError, recipes, refine, vitis_quantize
from softdpu.quantizer.wrappers import list_quantized_layers
from softdpu.rescue import DEFAULT, STEPS, Rescue, dead_channels, equalization
from softdpu.rescue.network import Network, get_position, set_position
from softdpu.rescue.position_search import PositionSearch, output_error
from softdpu.rescue.quantized_run import run_one_quantized, run_quantized
from softdpu.rescue.walk import run

keras = pytest.importorskip("tf_keras")
L = keras.layers


def block(padding: bool = True) -> keras.Model:
    """A convolution, a depthwise one through ReLU6 and ZeroPadding, a pointwise one, average, Dense."""
    x = inputs = keras.Input((12, 12, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False, name="conv")(x)
    x = L.BatchNormalization(name="conv_bn")(x)
    x = L.ReLU(6.0, name="conv_relu")(x)
    x = L.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x) if padding else x
    x = L.DepthwiseConv2D(3, strides=2, padding="valid", use_bias=False, name="dw")(x)
    x = L.BatchNormalization(name="dw_bn")(x)
    x = L.ReLU(6.0, name="dw_relu")(x)
    x = L.Conv2D(12, 1, name="pw")(x)
    x = L.ReLU(name="pw_relu")(x)
    x = L.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, L.Dense(5, name="logits")(x))


def branches() -> keras.Model:
    """A tensor that is read twice, and a sum."""
    x = inputs = keras.Input((12, 12, 3))
    x = kept = L.ReLU(name="conv_relu")(L.Conv2D(8, 3, padding="same", name="conv")(x))
    x = L.ReLU(name="inner_relu")(L.Conv2D(8, 3, padding="same", name="inner")(x))
    x = L.Add(name="sum")([L.Conv2D(8, 1, name="outer")(x), kept])
    return keras.Model(inputs, L.Dense(5, name="logits")(L.GlobalAveragePooling2D(name="pool")(x)))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (24, 12, 12, 3)).astype(np.float32)


def randomize(model: keras.Model, seed: int = 1) -> keras.Model:
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [random.uniform(0.5, 2, n), random.normal(0, 1, n), random.normal(0, 0.2, n), random.uniform(0.1, 1, n)]
            )
        elif layer.weights:
            layer.set_weights([random.normal(0, 0.4, w.shape) for w in layer.get_weights()])
    return model


def kill(model: keras.Model, channel: int = 2) -> None:
    """Make one channel of `conv` and of `dw` dead, as training does it: no variance, a huge folded scale."""
    kernel = model.get_layer("conv").get_weights()[0]
    kernel[..., channel] = 0
    model.get_layer("conv").set_weights([kernel])
    for name, beta in (("conv_bn", -1.0), ("dw_bn", 0.7)):
        weights = model.get_layer(name).get_weights()
        for array, value in zip(weights, (1.5, beta, 0.0, 1e-35), strict=True):
            array[channel] = value
        model.get_layer(name).set_weights(weights)
    kernel = model.get_layer("dw").get_weights()[0]
    kernel[:, :, channel] = 3.0
    model.get_layer("dw").set_weights([kernel])


def caught(model: keras.Model, images: np.ndarray) -> Catch:
    recipe = Catch()
    vitis_quantize.VitisQuantizer(model, recipe=recipe).quantize_model(calib_dataset=images)
    return recipe


def float_outputs(net: Network, images: np.ndarray) -> np.ndarray:
    return net.reference.predict(images, verbose=0)


def test_walk_gives_what_the_model_gives(images: np.ndarray) -> None:
    model = randomize(block())
    outputs = run(model, [images[:10], images[10:]])
    np.testing.assert_allclose(np.concatenate([o[0] for o in outputs]), model(images), rtol=1e-5, atol=1e-5)


def test_settled_outputs_are_those_of_the_quantized_model(images: np.ndarray) -> None:
    net = caught(randomize(block()), images).net
    outputs = run_quantized(net, correct=False, choose=False)
    np.testing.assert_array_equal(np.concatenate([o[0] for o in outputs]), net.model(images, training=False))


def test_with_nothing_quantized_only_the_conversions_remain(images: np.ndarray) -> None:
    net = caught(randomize(block()), images).net
    net_outputs = np.concatenate([o[0] for o in run_quantized(net, correct=False, choose=False, only=())])
    # 6x6 pixels: the DPU's average is 36 * 7 / 256 of the true one.
    x = keras.Model(net.reference.input, net.reference.get_layer("pool").output)(images)
    kernel, bias = (w.numpy() for w in net.reference.get_layer("logits").weights)
    np.testing.assert_allclose(net_outputs, x * (36 * 7 / 256) @ kernel + bias, rtol=1e-4, atol=1e-4)


def test_one_layer_quantized_alone(images: np.ndarray) -> None:
    """A walk that begins at the layer gives what one from the start gives, also where tensors are read twice."""
    net = caught(randomize(branches()), images).net
    keys = {name: {slot.quantizer.key for slot in item.layer.slots()} for name, item in net.weighted.items()}
    found = dict(run_one_quantized(net, keys))
    assert set(found) == set(keys)
    for name, outputs in found.items():
        expected = run_quantized(net, correct=False, choose=False, only=keys[name])
        np.testing.assert_array_equal(np.concatenate([o[0] for o in outputs]), np.concatenate([o[0] for o in expected]))


def test_dead_channels_become_their_constant(images: np.ndarray) -> None:
    model = randomize(block())
    kill(model)
    recipe = caught(model, images)
    net = recipe.net
    before = float_outputs(net, images)
    found = dead_channels.replace(net, recipe.vanishing)
    assert {name: dead.channels for name, dead in found.items()} == {"dw": [2]}, "conv's dead kernel is zero already"
    assert found["dw"].largest > found["dw"].rest
    item = net.by_name["dw"]
    assert not item.kernel[:, :, 2].any()
    assert item.float_bias[2] == pytest.approx(0.7, abs=1e-5)
    np.testing.assert_allclose(float_outputs(net, images), before, atol=1e-4)


def test_a_constant_that_the_activation_clips_moves_to_its_edge(images: np.ndarray) -> None:
    model = randomize(block())
    kill(model)
    weights = model.get_layer("dw_bn").get_weights()
    weights[1][2] = -40.0
    model.get_layer("dw_bn").set_weights(weights)
    recipe = caught(model, images)
    dead_channels.replace(recipe.net, recipe.vanishing)
    assert recipe.net.by_name["dw"].float_bias[2] == 0


def test_a_channel_that_lives_is_not_dead(images: np.ndarray) -> None:
    recipe = caught(randomize(block()), images)
    assert dead_channels.replace(recipe.net, recipe.vanishing) == {}


def test_no_variance_but_a_varying_output_is_not_dead(images: np.ndarray) -> None:
    """Statistics of other data than the calibration images: the channel does something now."""
    model = randomize(block())
    weights = model.get_layer("conv_bn").get_weights()
    weights[3][1] = 1e-35
    model.get_layer("conv_bn").set_weights(weights)
    recipe = caught(model, images)
    assert recipe.vanishing["conv"][1]
    assert dead_channels.replace(recipe.net, recipe.vanishing) == {}


@pytest.mark.parametrize("padding", [False, True])
def test_equalization_keeps_the_function_through_relu6_padding_and_depthwise(images, padding: bool) -> None:
    net = caught(randomize(block(padding)), images).net
    before = float_outputs(net, images)
    kernels = {name: item.kernel.copy() for name, item in net.by_name.items()}
    assert [(p.head.name, p.tail.name, p.clip) for p in equalization.pairs(net)] == [
        ("conv", "dw", 6.0),
        ("dw", "pw", 6.0),
        ("pw", "logits", np.inf),
    ]
    assert equalization.equalize(net) == 3
    np.testing.assert_allclose(float_outputs(net, images), before, rtol=1e-4, atol=1e-4)
    assert any(np.abs(net.by_name[name].kernel - kernel).max() > 0.05 for name, kernel in kernels.items())


def test_a_channel_that_reaches_the_clip_is_not_scaled(images: np.ndarray) -> None:
    model = randomize(block())
    weights = model.get_layer("conv_bn").get_weights()
    weights[1][:] = np.where(np.arange(8) == 3, 7.0, weights[1])
    model.get_layer("conv_bn").set_weights(weights)
    net = caught(model, images).net
    pair = equalization.pairs(net)[0]
    weights = [equalization.Weights.of(item) for item in (pair.head, pair.tail)]
    assert net.by_name["conv"].statistics.high[3] > 6
    assert equalization.factors(pair, *weights)[3] == 1
    grown = equalization.factors(pair, *weights) * net.by_name["conv"].statistics.high
    untouched = net.by_name["conv"].statistics.high * equalization.MARGIN >= 6
    assert (grown[~untouched] <= 6).all()


def test_a_layer_with_two_readers_is_not_equalized(images: np.ndarray) -> None:
    x = inputs = keras.Input((12, 12, 3))
    x = L.Conv2D(4, 3, activation="relu", padding="same", name="first")(x)
    y = L.Conv2D(4, 3, activation="relu", padding="same", name="second")(x)
    x = L.Add()([x, y])
    model = randomize(keras.Model(inputs, L.Conv2D(2, 1, name="last")(x)))
    assert equalization.pairs(caught(model, images).net) == []


def test_bias_correction_gives_the_float_means(images: np.ndarray) -> None:
    net = caught(randomize(block()), images).net
    for item in net.weighted.values():
        set_position(item.kernel_slot.quantizer, get_position(item.kernel_slot.quantizer) - 3)  # coarse: biased
        set_position(item.bias_slot.quantizer, 12)
    means = {}

    def look(item, inputs):
        results = [item.accumulate(x, item.quantize_kernel(), item.float_bias) for x in inputs]
        means[item.name] = np.concatenate([np.reshape(y, (-1, y.shape[-1])) for y in results]).mean(axis=0)

    run_quantized(net, correct=True, choose=False, hook=look)
    for item in net.by_name.values():
        corrected = item.layer.layer.bias.numpy()
        expected = item.float_bias + item.statistics.mean - means[item.name]
        np.testing.assert_allclose(corrected, expected, rtol=1e-4, atol=1e-4)


def test_bias_positions_ignore_what_the_activation_hides(images: np.ndarray) -> None:
    model = randomize(block())
    weights = model.get_layer("dw_bn").get_weights()
    weights[1][0] = -60.0
    model.get_layer("dw_bn").set_weights(weights)
    item = caught(model, images).net.by_name["dw"]
    item.choose_bias_position(item.float_bias)
    position = get_position(item.bias_slot.quantizer)
    assert 127 * 2.0**-position < 60, "a channel that is always zero need not be held exactly"


def test_position_search_takes_the_position_of_least_output_error(images: np.ndarray) -> None:
    net = caught(randomize(block()), images).net
    taken = {}
    search = PositionSearch(net)

    def hook(item, inputs):
        start = get_position(item.kernel_slot.quantizer)
        search(item, inputs)
        chosen = get_position(item.kernel_slot.quantizer)
        part = keras.Model(net.reference.input, net.reference.get_layer(item.name).output)
        targets = [part(batch) for batch in net.batches]
        errors = {}
        for position in range(start - 1, start + 3):
            if item.legal_kernel_position(position):
                set_position(item.kernel_slot.quantizer, position)
                errors[position] = output_error(item, inputs, targets)
        set_position(item.kernel_slot.quantizer, chosen)
        taken[item.name] = errors[chosen], min(errors.values())

    run_quantized(net, correct=False, choose=False, hook=hook)
    assert len(taken) == 4
    for chosen, least in taken.values():
        assert chosen == pytest.approx(least, rel=1e-3)


def test_no_budget_rounds_nothing_and_it_is_said(images: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    recipe = Rescue(steps=("learned_rounding",), budget=-1)
    vitis_quantize.VitisQuantizer(randomize(block()), recipe=recipe).quantize_model(calib_dataset=images)
    assert recipe.report[0]["detail"] == "0 of 4 layers" and not recipe.report[0]["kept"]
    assert "the result depends on this machine's speed. Not learned: conv, dw, pw, logits" in caplog.text


def test_recipe_texts() -> None:
    assert recipes.find("rescue").steps == DEFAULT
    assert recipes.find("rescue-equalization+learned_rounding").steps == (
        "bias_correction",
        "dead_channels",
        "error_compensation",
        "learned_rounding",
    )
    assert recipes.find("rescue+position_search+learned_rounding").steps == tuple(STEPS)
    own = Rescue(steps=("bias_correction",))
    assert recipes.find(own) is own
    with pytest.raises(QuantizerError, match="there is no step magic"):
        recipes.find("rescue-magic")
    with pytest.raises(QuantizerError, match="expected one of vitis, rescue"):
        recipes.find("resque")


def test_shift_rules_hold_after_rescue(images: np.ndarray) -> None:
    model = randomize(block())
    kill(model)
    quantized = vitis_quantize.VitisQuantizer(model, recipe="rescue").quantize_model(calib_dataset=images)
    for layer in list_quantized_layers(quantized):
        if not layer.name.startswith(("quant_conv", "quant_dw", "quant_pw", "quant_logits")):
            continue
        source, result = refine.input_position(layer), refine.output_position(layer)
        weight, bias = refine.parameter(layer, "kernel"), refine.parameter(layer, "bias")
        if weight is None:
            continue
        cut = fixed_point.shift_cut(source.value, weight.value, result.value)
        assert 0 <= cut <= 16
        shift = fixed_point.shift_bias(source.value, weight.value, bias.value)
        assert fixed_point.shift_bias_minimum(cut) <= shift <= 16
