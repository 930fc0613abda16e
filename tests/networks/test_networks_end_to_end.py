"""The project's invariant on the shapes of network that people bring: quantized Keras == reference == LiteRT.

Each is built in Keras, quantized on random images, saved, loaded, compiled for a board and run subgraph by subgraph on
both engines, and uncompiled by the reference; every output agrees bit for bit (softmax, in float32, to 1e-6). The
inspector, which sees the float model alone, predicts where each layer runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xir
from softdpu.compiler.compile import Compiled, compile_keras
from softdpu.compiler.frontend import build_graph
from softdpu.compiler.inspector import inspect_model
from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.compiler.xir_io import to_xir
from softdpu.export.source import read_source
from softdpu.export.write import Export, Options
from softdpu.numbers import boards, fixed_point
from softdpu.runtime import create_engine, evaluate_graph

keras = pytest.importorskip("tf_keras")
L = keras.layers
NETS: dict[str, Callable[[], Any]] = {}
BOARDS = ("zcu102", "kv260", "vck190", "vek280")
IMAGES = 4


def net(build: Callable[[], Any]) -> Callable[[], Any]:
    NETS[build.__name__] = build
    return build


def unit(x: Any, channels: int, kernel: Any = 3, strides: int = 1, act: Any = None, **options: Any) -> Any:
    """Convolution, normalization, activation."""
    x = L.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False, **options)(x)
    return (act or L.ReLU())(L.BatchNormalization()(x))


def linear(x: Any) -> Any:
    return x


@net
def residual_with_projection() -> Any:
    image = L.Input((33, 29, 3))
    x = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(8, 7, 2)(L.ZeroPadding2D(3)(image))))
    x = L.MaxPooling2D(3, 2)(L.ZeroPadding2D(1)(x))
    for channels, strides in ((8, 1), (12, 2)):
        short = x if strides == 1 else unit(x, channels, 1, strides, linear)
        x = L.Add()([unit(unit(x, channels, 3, strides), channels, act=linear), short])
        x = L.Activation("relu")(x)
    return keras.Model(image, L.Dense(6, activation="softmax")(L.GlobalAveragePooling2D()(x)))


@net
def inverted_residuals() -> Any:
    image = L.Input((32, 24, 3))
    x = unit(image, 8, 3, 2, L.ReLU(6.0))
    for channels, strides in ((8, 1), (12, 2), (12, 1)):
        y = unit(x, 16, 1, act=L.ReLU(6.0))
        y = L.ZeroPadding2D(((0, 1), (0, 1)))(y) if strides == 2 else y
        y = L.DepthwiseConv2D(3, strides, "valid" if strides == 2 else "same", use_bias=False)(y)
        y = unit(L.ReLU(6.0)(L.BatchNormalization()(y)), channels, 1, act=linear)
        x = L.Add()([x, y]) if strides == 1 else y
    return keras.Model(image, L.Dense(6)(L.Flatten()(L.AveragePooling2D(3)(L.Dropout(0.2)(x)))))


@net
def u_shape() -> Any:
    image = L.Input((24, 16, 1))
    fine = unit(image, 6)
    middle = unit(L.MaxPooling2D()(fine), 8)
    coarse = unit(L.MaxPooling2D()(middle), 8)
    x = L.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(coarse)
    x = unit(L.Concatenate()([x, middle]), 8)
    x = unit(L.Concatenate()([L.UpSampling2D(2)(x), fine, L.UpSampling2D(4, interpolation="bilinear")(coarse)]), 6)
    return keras.Model(image, L.Conv2D(2, 1, activation="sigmoid")(x))


@net
def fire_and_inception() -> Any:
    image = L.Input((17, 15, 4))
    squeezed = L.Conv2D(4, 1, activation="relu")(image)
    x = L.Concatenate()([L.Conv2D(6, 1, activation="relu")(squeezed), unit(squeezed, 6)])
    rows = unit(unit(x, 5, (1, 7)), 5, (7, 1))
    mean = unit(L.AveragePooling2D(3, 1, padding="same")(x), 4, 1)
    top = L.MaxPooling2D(3, 1, padding="same")(x)
    x = unit(L.Concatenate()([rows, mean, top]), 6, dilation_rate=2)
    return keras.Model(image, L.Activation("softmax")(L.GlobalAveragePooling2D()(L.Conv2D(5, 1)(x))))


@net
def dense_blocks() -> Any:
    image = L.Input((16, 16, 3))
    x = L.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(image)
    for _ in range(2):
        y = L.Activation("relu")(L.BatchNormalization()(x))
        y = L.Activation("relu")(L.BatchNormalization()(L.Conv2D(6, 1, use_bias=False)(y)))
        x = L.Concatenate()([x, L.Conv2D(4, 3, padding="same", use_bias=False)(y)])
    x = L.AveragePooling2D(2)(L.Conv2D(6, 1)(L.ReLU()(L.BatchNormalization(scale=False)(x))))
    return keras.Model(image, L.Dense(4)(L.GlobalAveragePooling2D()(x)))


@net
def squeeze_and_excite() -> Any:
    image = L.Input((16, 16, 3))
    x = unit(image, 8, 3, 2, L.Activation("swish"))
    y = L.BatchNormalization()(L.DepthwiseConv2D(5, padding="same", use_bias=False)(unit(x, 12, 1)))
    y = L.Activation("swish")(y)
    gate = L.Reshape((1, 1, 12))(L.GlobalAveragePooling2D()(y))
    gate = L.Conv2D(12, 1, activation="sigmoid")(L.Conv2D(4, 1, activation="swish")(gate))
    y = unit(L.Multiply()([y, gate]), 8, 1, act=linear)
    gate = L.Dense(8, activation="hard_sigmoid")(L.GlobalAveragePooling2D()(y))
    y = L.Multiply()([y, L.Reshape((1, 1, 8))(gate)])
    return keras.Model(image, L.Conv2D(3, 1)(L.Add()([x, y])))


@net
def darknet_with_two_heads() -> Any:
    image = L.Input((26, 26, 3))
    x = unit(L.ZeroPadding2D(((1, 0), (1, 0)))(unit(image, 6, act=L.LeakyReLU(0.1))), 8, 3, 2, L.LeakyReLU(0.1))
    x = L.Add()([x, unit(unit(x, 4, 1, act=L.LeakyReLU(0.1)), 8, act=L.LeakyReLU(0.2))])
    coarse = L.MaxPooling2D(2, 1, padding="same")(L.MaxPooling2D()(x))
    fine = L.Concatenate()([L.ZeroPadding2D(((0, 1), (1, 0)))(L.UpSampling2D()(unit(coarse, 5, 1)))[:, :14, :14], x])
    return keras.Model(image, [L.Conv2D(9, 1)(coarse), L.Reshape((14, 14, 3, 3))(L.Conv2D(9, 1)(fine))])


@net
def separable_and_slopes() -> Any:
    image = L.Input((19, 21, 3))
    x = L.SeparableConv2D(8, 3, depth_multiplier=2, activation="relu")(image)
    x = L.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2)(x)
    x = L.PReLU(shared_axes=[1, 2])(L.BatchNormalization(center=False)(x))
    x = L.Conv2DTranspose(4, (2, 3), strides=2, padding="same", use_bias=False)(x)
    x = L.Activation("tanh")(L.Conv2D(6, 3, groups=2)(x))
    return keras.Model(image, L.Dense(3)(L.ELU()(L.Conv2D(4, 1)(L.GlobalMaxPooling2D(keepdims=True)(x)))))


@net
def dense_only() -> Any:
    heads = [L.Dense(16, activation="relu", input_shape=(20,)), L.Dropout(0.2), L.BatchNormalization()]
    return keras.Sequential([*heads, L.Dense(12), L.ReLU(), L.Dense(4, activation="softmax")])


@net
def plain_sequence_over_the_limits() -> Any:
    convs = [L.Conv2D(4, 18, activation="relu", input_shape=(40, 36, 1)), L.Conv2D(4, 3, strides=9, padding="same")]
    return keras.Sequential([*convs, L.ReLU(), L.MaxPooling2D(2, 1), L.Flatten(), L.Dense(5)])


@net
def nested_blocks_used_twice() -> Any:
    inside = L.Input((10, 12, 6))
    block = keras.Model(inside, L.Add()([inside, unit(inside, 6)]))
    stem = keras.Sequential([L.Conv2D(6, 3, padding="same", use_bias=False), L.BatchNormalization(), L.ReLU()])
    image = L.Input((10, 12, 3))
    x = block(block(stem(L.Rescaling(0.5, -0.1)(image))))
    return keras.Model(image, L.Dense(2)(L.Permute((3, 1, 2))(x)))


@net
def three_inputs() -> Any:
    colour, depth, numbers = L.Input((12, 12, 3)), L.Input((12, 12, 1)), L.Input((5,))
    x = L.GlobalAveragePooling2D()(unit(L.Concatenate()([unit(colour, 4), unit(depth, 4)]), 8))
    x = L.Concatenate()([x, L.Dense(6, activation="relu")(numbers)])
    return keras.Model([colour, depth, numbers], L.Dense(2)(x))


@net
def sums_products_and_slices() -> Any:
    image = L.Input((12, 10, 3))
    a, b, c = (L.Conv2D(6, 3, padding="same")(image) for _ in range(3))
    x = L.Multiply()([L.ReLU()(L.Add()([a, b, c])), 1.0 - a])
    x = L.Concatenate()([x[..., 1:5], L.Average()([b, c]), L.LeakyReLU(0.1)(L.Add()([a, c])), image])
    x = L.Cropping2D(((1, 0), (2, 1)))(L.Permute((2, 1, 3))(x))
    return keras.Model(image, L.AveragePooling2D((2, 3))(L.Conv2D(4, 2)(L.LeakyReLU(0.3)(x))))


def randomized(model: Any) -> Any:
    """Weights whose folding, slopes and biases could go wrong."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        name = weight.name.split("/")[-1]
        if name.startswith(("moving_variance", "gamma")):
            weight.assign(rng.uniform(0.4, 1.6, weight.shape))
        elif name.startswith(("beta", "bias", "moving_mean", "alpha")):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def close(expected: np.ndarray, found: np.ndarray, is_softmax: bool) -> bool:
    found = found.reshape(expected.shape)
    return bool(np.allclose(found, expected, rtol=0, atol=1e-6) if is_softmax else np.array_equal(found, expected))


def inputs_of(graph: xir.Graph, images: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return by tensor name what the graph takes: int8 where it begins with integers."""
    given = {}
    for op in graph.get_ops():
        if op.get_type() in ("data", "data-fix"):
            tensor, image = op.get_output_tensor(), images[op.get_name()]
            integers = op.get_type() == "data-fix"
            given[tensor.name] = (
                fixed_point.quantize(image, tensor.get_attr("fix_point"), fixed_point.HALF_UP) if integers else image
            )
    return given


def by_subgraphs(graph: xir.Graph, given: dict[str, np.ndarray], engine: str) -> dict[str, np.ndarray]:
    """Return every tensor between subgraphs, each subgraph run by an engine of its own."""
    children = graph.get_root_subgraph().toposort_child_subgraph()
    engines = [create_engine(child, engine) for child in children if child.get_attr("device") != "USER"]
    images = []
    for index in range(IMAGES):
        values = {name: array[index : index + 1] for name, array in given.items()}
        for runner in engines:
            outputs = [np.empty(value.shape, value.dtype) for value in runner.program.outputs]
            runner.run([values[value.name] for value in runner.program.inputs], outputs)
            values.update(zip((value.name for value in runner.program.outputs), outputs, strict=True))
        images.append(values)
    return {name: np.concatenate([values[name] for values in images]) for name in images[0]}


def exports_are_the_same_network(path: Path) -> None:
    """Every form of the network gives the DPU's numbers, or with int8 biases ties beside them."""
    source = read_source(path)
    for form, options in (("xint8", Options()), ("vint8", Options(int8_bias=True, opset=13)), ("tflite", Options())):
        output = path.with_suffix(".tflite" if form == "tflite" else f".{form}.onnx")
        finding = Export(source, form, output, options).check()
        assert finding.unexplained == 0, finding.text()
        assert options.int8_bias or finding.different == finding.op_different == 0, finding.text()


def shapes_are_the_model_s(model: Any, compiled: Compiled) -> None:
    """Every layer whose result is a tensor of the graphs has the shape that Keras gives it."""
    wanted = {layer.name: layer.output_shape[1:] for layer in model.layers if isinstance(layer.output_shape, tuple)}
    found = 0
    for op in (*compiled.front.ops, *compiled.graph.ops):
        shape = wanted.get(op.tensor.removesuffix("_fix"))
        if shape is not None and not op.is_constant:
            # AMD's front end keeps the 1 x 1 of what Keras counts as a vector.
            assert op.shape[1:] in (shape, (1, 1, *shape)), (op.tensor, op.shape, shape)
            found += 1
    assert found > len(model.layers) / 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_keras_equals_both_engines(name: str, tmp_path: Path) -> None:
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    keras.backend.clear_session()
    keras.utils.set_random_seed(2)
    model, rng = randomized(NETS[name]()), np.random.default_rng(0)
    images = [rng.normal(0, 1, (16, *head.shape[1:])).astype(np.float32) for head in model.inputs]
    path = tmp_path / "q.h5"
    VitisQuantizer(model).quantize_model(calib_dataset=images if len(images) > 1 else images[0]).save(path)
    images = [array[:IMAGES] for array in images]
    ready = keras.models.load_model(path, compile=False)
    expected = ready.predict(images if len(images) > 1 else images[0], verbose=0)
    expected = expected if isinstance(expected, list) else [expected]

    quantized = read_keras_model(path)
    by_name = dict(zip((layer for layer, _ in quantized.inputs), images, strict=True))
    for board in (BOARDS[list(NETS).index(name) % len(BOARDS)], "zcu102"):
        compiled = compile_keras(quantized, boards.find_target(board))
        soft = [op.kind == "softmax" for op in compiled.graph.outputs]
        shapes_are_the_model_s(ready, compiled)
        graph = compiled.to_xir()
        given = inputs_of(graph, by_name)
        slow, fast = (by_subgraphs(graph, given, engine) for engine in ("reference", "litert"))
        for tensor, values in slow.items():
            assert np.array_equal(values, fast[tensor]), tensor
        for op, value, is_softmax in zip(compiled.graph.outputs, expected, soft, strict=True):
            assert close(value, slow[op.tensor], is_softmax), op.tensor
            assert len(np.unique(value)) > 4
    exports_are_the_same_network(path)
    model.save(tmp_path / "float.h5")
    predicted = {
        place.layer: place.device for place in inspect_model(tmp_path / "float.h5", boards.find_target("zcu102"))
    }
    actual = {place.layer.removeprefix("quant_"): place.device for place in compiled.places()}
    both = set(predicted) & set(actual) - set(model.input_names)
    assert len(both) >= 3
    assert {layer: predicted[layer] for layer in both} == {layer: actual[layer] for layer in both}

    front = build_graph(quantized)
    values = evaluate_graph(to_xir(front), by_name)
    for op, value in zip(front.outputs, expected, strict=True):
        assert close(value, values[op.tensor], op.kind == "softmax"), op.tensor
