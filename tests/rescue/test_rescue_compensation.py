"""Error compensation and learned rounding, against plain numpy: least squares, Optimal Brain Quantization."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
from caught_network import Catch

import vart
import xir
from softdpu.compiler import compile_model
from softdpu.numbers import boards, fixed_point
from softdpu.quantizer import vitis_quantize
from softdpu.rescue import Rescue, compensation, rounding, samples
from softdpu.rescue.compensation import ErrorCompensation
from softdpu.rescue.network import Network, Statistics, fake_quantize, get_position
from softdpu.rescue.quantized_run import run_quantized

keras = pytest.importorskip("tf_keras")
L = keras.layers


class Item:
    """What `samples` and `fitted` take of a layer."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        self.reference = layer
        self.kernel = self.float_kernel = layer.get_weights()[0]


LAYERS = {
    "dense": (L.Dense(5), (7,)),
    "pointwise": (L.Conv2D(5, 1, strides=2), (9, 8, 4)),
    "strided": (L.Conv2D(5, (3, 2), strides=(2, 1), padding="same"), (9, 8, 4)),
    "dilated": (L.Conv2D(5, 3, dilation_rate=2, padding="same"), (9, 8, 4)),
    "grouped": (L.Conv2D(6, 3, groups=2), (9, 8, 4)),
    "depthwise": (L.DepthwiseConv2D(3, strides=2, padding="same"), (9, 8, 4)),
    "multiplied": (L.DepthwiseConv2D(3, depth_multiplier=2), (9, 8, 4)),
}


def reference(square: np.ndarray, weights: np.ndarray, low: int, high: int) -> np.ndarray:
    """Round one output's weights as Optimal Brain Quantization does: the inverse of what is left, every time anew."""
    left = sorted(range(len(weights)), key=lambda i: -square[i, i])
    weights, numbers = weights.astype(np.float64), np.zeros(len(weights))
    while left:
        first = left[0]
        inverse = np.linalg.inv(square[np.ix_(left, left)])
        numbers[first] = np.clip(np.rint(weights[first]), low, high)
        weights[left] -= (weights[first] - numbers[first]) / inverse[0, 0] * inverse[0]
        left = left[1:]
    return numbers


def correlated(random: np.random.Generator, groups: int, count: int, inputs: int) -> np.ndarray:
    mixing = random.normal(0, 1, (groups, inputs, inputs))
    return (random.normal(0.5, 1, (groups, count, inputs)) @ mixing).astype(np.float32)


def smooth(seed: int, count: int) -> np.ndarray:
    """Random images whose neighbours are alike, as those of cameras are."""
    small = np.random.default_rng(seed).uniform(-1, 1, (count, 4, 4, 3)).astype(np.float32)
    return small.repeat(3, axis=1).repeat(3, axis=2)


@pytest.fixture
def images() -> np.ndarray:
    return smooth(0, 64)


def block() -> keras.Model:
    """One channel of each convolution stretches the range, so that the others have few steps."""
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((12, 12, 3))
    x = L.ReLU(6.0)(L.Conv2D(8, 3, padding="same", name="conv", bias_initializer="random_normal")(x))
    x = L.ReLU(6.0)(L.DepthwiseConv2D(3, strides=2, padding="same", name="dw", bias_initializer="random_normal")(x))
    x = L.ReLU(6.0)(L.Conv2D(12, 1, name="pw")(x))
    model = keras.Model(inputs, L.Dense(5, name="logits")(L.GlobalAveragePooling2D()(x)))
    for name, channel in (("conv", (..., 1)), ("dw", (slice(None), slice(None), 2)), ("pw", (..., 3))):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[channel] *= 12
        model.get_layer(name).set_weights([kernel, bias])
    return model


def caught(images: np.ndarray) -> Network:
    recipe = Catch()
    vitis_quantize.VitisQuantizer(block(), recipe=recipe).quantize_model(calib_dataset=images)
    return recipe.net


@pytest.mark.parametrize("kind", LAYERS)
def test_patches_times_matrices_is_the_layer(kind: str) -> None:
    layer, shape = LAYERS[kind]
    x = np.random.default_rng(2).normal(0, 1, (3, *shape)).astype(np.float32)
    y = layer(x)
    item = Item(layer)
    rows, results = samples.sample(item, [x[:2], x[2:]], [y[:2], y[2:]], 10**6)
    assert samples.places([y]) == rows.shape[1] == results.shape[1]
    np.testing.assert_allclose(rows @ samples.to_matrices(item.kernel, layer), results, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        samples.to_kernel(samples.to_matrices(item.kernel, layer), item.kernel.shape), item.kernel
    )
    few, _ = samples.sample(item, [x], [y], 4)
    assert 4 <= few.shape[1] < rows.shape[1] or rows.shape[1] <= 4


def test_the_fit_is_ridge_regression() -> None:
    random = np.random.default_rng(3)
    layer = L.Dense(4)
    layer.build((None, 6))
    x = correlated(random, 1, 300, 6)
    y = random.normal(0, 1, (1, 300, 4)).astype(np.float32) + x @ layer.get_weights()[0]
    moments = samples.Moments(x)
    weights, bias = compensation.fit_layer(Item(layer), x, y, moments, 0.5, 9)
    centred, target = x[0] - x[0].mean(axis=0), y[0] - y[0].mean(axis=0)
    pull = 0.5 * (1 + compensation.RIDGE_BY_INPUTS * 6 / 300) * np.mean(centred**2) * 300
    start = layer.get_weights()[0]
    stacked = np.vstack([centred, np.sqrt(pull) * np.eye(6)])
    expected = np.linalg.lstsq(stacked, np.vstack([target, np.sqrt(pull) * start]), rcond=None)[0]
    np.testing.assert_allclose(weights[0], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose((x @ weights + bias).mean(axis=1), y.mean(axis=1), atol=1e-4)


def test_behind_a_clip_every_pass_lowers_the_error() -> None:
    random = np.random.default_rng(4)
    layer = L.Dense(4)
    relu = L.ReLU(2.0)
    inputs = keras.Input((6,))
    keras.Model(inputs, relu(layer(inputs)))
    x = correlated(random, 1, 300, 6)
    y = x @ layer.get_weights()[0] + 0.3
    x += random.normal(0, 0.3, x.shape).astype(np.float32)
    moments = samples.Moments(x)
    errors = []
    for passes in (1, 2, 4, 8):
        fit = compensation.fit_layer(Item(layer), x, y, moments, 1e-6, passes)
        errors.append(compensation.measure_clipped_error(Item(layer), x, y, *fit))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.99 * errors[0]


@pytest.mark.parametrize("inputs", [9, 80])
def test_rounding_is_that_of_optimal_brain_quantization(inputs: int) -> None:
    """80 inputs are more than one block."""
    random = np.random.default_rng(5)
    x = correlated(random, 2, 4 * inputs, inputs)
    square = samples.Moments(x).square
    square += 0.05 * np.trace(square, axis1=1, axis2=2)[:, None, None] / inputs * np.eye(inputs)
    weights = random.normal(0, 40, (2, inputs, 3)).astype(np.float32)
    found = compensation.round_compensated(weights.copy(), square, (-128, 127))
    for group, output in itertools.product(range(2), range(3)):
        expected = reference(square[group], weights[group, :, output], -128, 127)
        np.testing.assert_array_equal(found[group, :, output], expected)


def test_descent_lowers_the_error_to_where_no_single_step_does() -> None:
    random = np.random.default_rng(6)
    square = samples.Moments(correlated(random, 3, 200, 8)).square
    weights = random.normal(0, 3, (3, 8, 4)).astype(np.float32)
    numbers = np.rint(weights)

    def error(numbers: np.ndarray) -> np.ndarray:
        off = numbers - weights
        return np.einsum("gio,gij,gjo->go", off, square, off)

    nearest = error(numbers)
    second = square.astype(np.float32)
    rounding.descend(second, second @ (numbers - weights), numbers, (-128, 127))
    assert (error(numbers) <= nearest * (1 + 1e-4)).all() and error(numbers).sum() < 0.7 * nearest.sum()
    for i, step in itertools.product(range(8), (-1, 1)):
        moved = numbers.copy()
        moved[:, i] += step
        assert (error(moved) >= error(numbers) * (1 - 1e-4)).all()


def test_weights_take_the_error_of_a_coarse_bias() -> None:
    """A bias of eight bits that one channel stretches: without compensation its error stays in every result."""
    random = np.random.default_rng(7)
    x = random.uniform(0.5, 1.5, (400, 6, 6, 16)).astype(np.float32)
    inputs = keras.Input((6, 6, 16))
    layer = L.Conv2D(4, 1, name="conv")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([random.normal(0, 0.2, (1, 1, 16, 4)), np.array([60.3, 0.27, -0.2, 0.2])])
    biased, compensated = (
        vitis_quantize.VitisQuantizer(model, recipe=Rescue(steps=steps)).quantize_model(calib_dataset=x[:64])
        for steps in (("bias_correction",), ("error_compensation",))
    )
    expected = model(x[64:]).numpy()[..., 1:]
    errors = [float(np.mean((m(x[64:]).numpy()[..., 1:] - expected) ** 2)) for m in (biased, compensated)]
    assert errors[1] <= errors[0]


@pytest.mark.parametrize("hook", [ErrorCompensation, lambda net: rounding.LearnedRounding(net, 60.0)])
def test_fitted_layers_are_exactly_what_they_are_rounded_to(images: np.ndarray, hook) -> None:
    net = caught(images)
    step = hook(net)
    run_quantized(net, correct=True, choose=False, hook=step)
    assert step.layers >= 2 and step.layers == sum(item.fitted for item in net.weighted.values())
    for item in net.weighted.values():
        if item.fitted:
            bias = item.layer.layer.bias
            np.testing.assert_array_equal(item.quantize_kernel(), item.kernel)
            np.testing.assert_array_equal(fake_quantize(bias, item.bias_slot.quantizer), bias)
            numbers = np.ldexp(item.kernel, get_position(item.kernel_slot.quantizer))
            assert numbers.min() >= -128 and numbers.max() <= 127


def test_the_output_is_nearer_on_images_that_were_not_seen(images: np.ndarray) -> None:
    others = smooth(8, 200)
    expected = block()(others).numpy()
    errors = []
    for steps in (("bias_correction",), ("bias_correction", "error_compensation")):
        model = vitis_quantize.VitisQuantizer(block(), recipe=Rescue(steps=steps)).quantize_model(calib_dataset=images)
        errors.append(float(np.mean((model(others).numpy() - expected) ** 2)))
    assert errors[1] < errors[0]


def test_constant_inputs_are_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """Every channel that the first layer gives is one constant: there is nothing to fit to, and nothing breaks."""
    model = block()
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel * 0, np.abs(bias)])
    constant = smooth(1, 20)
    with caplog.at_level(logging.INFO):
        found = vitis_quantize.VitisQuantizer(model, recipe="rescue").quantize_model(calib_dataset=constant)
    assert np.isfinite(found(constant).numpy()).all()
    assert "error_compensation" in caplog.text


def test_statistics_scale_with_their_channels() -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    statistics = Statistics(values[0], values[0], values[2], values, (0.0, 6.0))
    scaled = statistics.scale(np.array([2.0, 1.0], np.float32))
    np.testing.assert_array_equal(scaled.sample, values * [2, 1])


def test_the_rescued_network_compiles_and_the_runtime_equals_it_bit_for_bit(images: np.ndarray, tmp_path: Path) -> None:
    quantized = vitis_quantize.VitisQuantizer(block(), recipe="rescue").quantize_model(calib_dataset=images)
    quantized.save(tmp_path / "quantized.h5")
    compile_model(
        tmp_path / "quantized.h5", boards.choose_target("zcu102", None, None, None), tmp_path / "quantized.xmodel"
    )
    children = xir.Graph.deserialize(str(tmp_path / "quantized.xmodel")).get_root_subgraph().toposort_child_subgraph()
    (subgraph,) = (child for child in children if child.has_attr("device") and child.get_attr("device") == "DPU")
    runner = vart.Runner.create_runner(subgraph, "run")
    source, target = runner.get_input_tensors()[0], runner.get_output_tensors()[0]
    for batch in np.split(smooth(9, 20 * source.dims[0]), 20):
        result = np.empty(target.dims, np.int8)
        given = fixed_point.quantize(batch, source.get_attr("fix_point"), fixed_point.HALF_UP)
        runner.wait(runner.execute_async([given], [result]))
        found = np.ldexp(result.astype(np.float32), -target.get_attr("fix_point")).reshape(len(batch), -1)
        np.testing.assert_array_equal(found, quantized(batch, training=False))
