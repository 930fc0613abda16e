"""The promise of the whole project on whole networks: quantized Keras model == compiled file, bit for bit.

Networks are built in Keras, quantized by softdpu's quantizer, saved, compiled and evaluated as integers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xir
from softdpu.compiler import compile_model
from softdpu.numbers import fixed_point
from softdpu.runtime.engine import evaluate_graph

NETS: dict[str, Callable[[Any], Any]] = {}


def net(build: Callable[[Any], Any]) -> Callable[[Any], Any]:
    NETS[build.__name__] = build
    return build


@net
def residual(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = layers.LeakyReLU(0.1)(layers.SeparableConv2D(12, 3, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.AveragePooling2D(2)(x))
    return keras.Model(image, layers.Dense(10)(x))


@net
def chain_with_odd_sizes(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((15, 13, 3)),
            layers.ZeroPadding2D(((0, 1), (1, 0))),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", strides=2),
            layers.ReLU(6.0),
            layers.Conv2D(8, 1, activation="swish"),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(5),
        ]
    )


@net
def down_and_up_with_two_outputs(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((12, 12, 2))
    fine = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same")(x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu6")(layers.Concatenate()([fine, x]))
    mask = layers.Conv2D(2, 1, activation="sigmoid")(layers.UpSampling2D()(x))
    return keras.Model(image, [mask, x])


@net
def two_inputs_through_one_layer(keras: Any) -> Any:
    layers = keras.layers
    left, right = layers.Input((8, 8, 3), name="left"), layers.Input((8, 8, 3), name="right")
    shared = layers.Conv2D(4, 3, padding="same")
    x = layers.Add()([shared(left), shared(right)])
    x = layers.Conv2D(3, 3)(x * 2.0 + 1.0)
    return keras.Model([left, right], layers.BatchNormalization()(x))


@net
def parts_on_the_cpu(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((10, 10, 4))
    x = layers.Conv2D(8, 3, activation="relu6")(image)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(8, 3, padding="same")(layers.Multiply()([x, gate]))
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.AveragePooling2D(3, padding="same")(x)
    return keras.Model(image, layers.Dense(3)(layers.Reshape((-1, 4))(x)))


@net
def vectors_of_an_image_and_of_numbers(keras: Any) -> Any:
    layers = keras.layers
    image, numbers = layers.Input((8, 8, 3), name="image"), layers.Input((6,), name="numbers")
    x = layers.Conv2D(6, 3, activation="relu")(image)
    mean, top, given = layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x), layers.Dense(6)(numbers)
    x = layers.Concatenate(axis=1)([layers.Add()([mean, given]), given, mean, mean, top])
    return keras.Model([image, numbers], layers.Dense(4)(x))


@net
def scaled_image_and_constants(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.Rescaling([0.3, 0.4, 0.5], -0.1)(image)
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.6, 0.7])(x)
    x = layers.Conv2D(6, 3, activation="relu")(x)
    y = layers.Average()([x, 1.0 - x, 0.3 * layers.Conv2D(6, 1)(x)])
    return keras.Model(image, layers.Conv2D(3, 1)(y))


@net
def functions_and_slices(keras: Any) -> Any:
    import tensorflow as tf

    layers = keras.layers
    image = layers.Input((9, 8, 4))
    x = layers.Conv2D(6, 1, activation="relu")(image)
    x = tf.concat([x[:, 1:8:2, ..., :4], x[:, :4, :, 3:]], axis=-1)
    x = tf.transpose(layers.Conv2D(6, 1)(x), [0, 3, 1, 2])
    y = layers.Dense(3)(tf.reshape(tf.nn.leaky_relu(x, alpha=0.3), [-1, 6 * 32]))
    return keras.Model(image, [y, layers.Dense(3)(tf.reduce_max(x, axis=[2, 3]))])


@net
def gate_in_float(keras: Any) -> Any:
    """Keras' hard_sigmoid is float32 arithmetic whose products meet ties of the next rounding."""
    layers = keras.layers
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    gate = layers.Dense(8, activation="hard_sigmoid")(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])
    return keras.Model(image, layers.LeakyReLU(0.3)(layers.Conv2D(6, 3)(x)))


@net
def outputs_that_are_read_and_repeated(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    y = layers.ReLU()(x)
    z = layers.Conv2D(5, 3)(y)
    return keras.Model(image, [x, y, z, layers.Concatenate()([x, y]), z])


@net
def noise_and_more_padding_than_a_window_takes(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((8, 8, 3))
    x = layers.ZeroPadding2D(20)(layers.GaussianNoise(0.1)(image))
    return keras.Model(image, layers.DepthwiseConv2D(3)(layers.Conv2D(4, 5, strides=3, activation="relu")(x)))


@pytest.mark.parametrize("name", NETS)
def test_network(name: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("tf_keras")
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    keras.backend.clear_session()
    keras.utils.set_random_seed(1)
    model, rng = NETS[name](keras), np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            continue
        values = []
        for weight in layer.weights:
            value = rng.normal(0, 0.3, weight.shape).astype(np.float32)
            values.append(np.abs(value) + 0.5 if "variance" in weight.name or "gamma" in weight.name else value)
        layer.set_weights(values)
    images = [rng.normal(0, 1, (24, *head.shape[1:])).astype(np.float32) for head in model.inputs]
    quantized = VitisQuantizer(model).quantize_model(calib_dataset=images if len(images) > 1 else images[0])
    quantized.save(tmp_path / "q.h5")
    expected = quantized.predict([part[:8] for part in images], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    compile_model(tmp_path / "q.h5", "zcu102", tmp_path / "q.xmodel")
    results = evaluate(tmp_path / "q.xmodel", dict(zip(model.input_names, images, strict=True)))
    for value in expected:
        same = [np.array_equal(result.reshape(value.shape), value) for result in results if result.size == value.size]
        assert any(same)
        assert len(np.unique(value)) > 4


def evaluate(path: Path, images: dict[str, np.ndarray]) -> list[np.ndarray]:
    graph = xir.Graph.deserialize(str(path))
    inputs = {}
    for op in graph.get_ops():
        if op.get_type() == "data-fix":
            tensor = op.get_output_tensor()
            image = images[op.get_name()][:8]
            inputs[tensor.name] = fixed_point.quantize(image, tensor.get_attr("fix_point"), fixed_point.HALF_UP)
    return list(evaluate_graph(graph, inputs).values())
