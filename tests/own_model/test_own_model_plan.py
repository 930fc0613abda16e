"""What a model file says of itself is checked before anything is built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from softdpu.errors import SoftdpuError
from softdpu.onnx_import import front
from softdpu.own_model import scaling_text
from softdpu.own_model.plan import check_file
from softdpu.training.batches import keras


def functional(shape: tuple, classes: int) -> keras.Model:
    image = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(classes)(keras.layers.Dropout(0.1)(x))))


def sequential(shape: tuple, classes: int) -> keras.Model:
    layers = [keras.layers.Conv2D(4, 3, input_shape=shape), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([*layers, keras.layers.Dense(classes, activation="softmax")])


def nested(shape: tuple, classes: int) -> keras.Model:
    image = keras.Input(shape)
    return keras.Model(image, functional(shape, classes)(image))


@pytest.mark.parametrize("make", [functional, sequential, nested])
def test_classes_and_shapes_are_checked_at_planning(tmp_path: Path, make: object) -> None:
    path = tmp_path / "model.h5"
    make((32, 32, 3), 7).save(str(path))
    check_file(path, "classification", 7)
    check_file(path, "classification", None)
    with pytest.raises(SoftdpuError, match=r"model.h5 says 7 classes, the data has 10 \(dataset\).*model\.file"):
        check_file(path, "classification", 10)
    make((32, 24, 5), 7).save(str(path))
    with pytest.raises(SoftdpuError, match=r"takes \(32, 24, 5\); expected one image"):
        check_file(path, "classification", 7)


def test_what_the_network_is_for_is_checked_at_planning(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    path = tmp_path / "model.h5"
    for last in (keras.layers.Conv2D(4, 3, name="last"), keras.layers.UpSampling2D(name="last")):
        keras.Model(image, keras.layers.Softmax()(last(image))).save(str(path))
        with pytest.raises(SoftdpuError, match=r"ends in the layer last \(\w+\), so it is no classifier.*another task"):
            check_file(path, "classification", None)
        for task in ("segmentation", "detection", "none"):
            check_file(path, task, 4)
    functional((32, 32, 3), 7).save(str(path))
    with pytest.raises(SoftdpuError, match="ends in a Dense layer, as a classifier does; task segmentation needs"):
        check_file(path, "segmentation", 7)


@pytest.mark.parametrize(
    ("shape", "task", "message"),
    [
        ([1, 10], "classification", None),
        ([1, 7], "classification", r"m.onnx says 7 classes, the data has 10 \(dataset\)"),
        ([1, 10, 8, 8], "classification", r"m.onnx gives \(10, 8, 8\), so it is no classifier"),
        ([1, 10], "segmentation", "m.onnx gives 10 numbers for an image, as a classifier does"),
        ([1, 10, 8, 8], "segmentation", None),
        ([1, 10, 8, 8], "none", None),
    ],
)
def test_an_onnx_file_is_checked_at_planning(tmp_path: Path, shape: list[int], task: str, message: str | None) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    weights = numpy_helper.from_array(np.ones((shape[1], 3, 1, 1), np.float32), "weights")
    nodes = [helper.make_node("Conv", ["image", "weights"], ["maps"])]
    if len(shape) == 2:
        nodes += [helper.make_node("GlobalAveragePool", ["maps"], ["pooled"])]
        nodes += [helper.make_node("Flatten", ["pooled"], ["output"])]
    else:
        nodes += [helper.make_node("Relu", ["maps"], ["output"])]
    graph = helper.make_graph(nodes, "network", [image], [output], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    if message is None:
        check_file(tmp_path / "m.onnx", task, 10)
    else:
        with pytest.raises(SoftdpuError, match=message):
            check_file(tmp_path / "m.onnx", task, 10)


def test_several_inputs_are_seen_at_planning(tmp_path: Path) -> None:
    pair = [keras.Input((8, 8, 3), name=name) for name in ("left", "right")]
    keras.Model(pair, keras.layers.Concatenate()(pair)).save(str(tmp_path / "m.h5"))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("left", "right")]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 6, 8, 8])
    nodes = [helper.make_node("Concat", ["left", "right"], ["output"], axis=1)]
    graph = helper.make_graph(nodes, "network", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    for name in ("m.h5", "m.onnx"):
        with pytest.raises(SoftdpuError, match=r"takes 2 inputs, where one image was expected.*dataset.kind: arrays"):
            check_file(tmp_path / name, "none", None)
        check_file(tmp_path / name, "none", None, of_images=False)


def test_what_the_names_do_not_say_is_left_to_the_import(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Reshape((-1,))(image)).save(str(tmp_path / "model.h5"))
    check_file(tmp_path / "model.h5", "classification", 10)
    two = keras.Sequential([keras.layers.Flatten(input_shape=(8, 8, 1)), keras.layers.Dense(1)])
    two.save(str(tmp_path / "two.h5"))
    check_file(tmp_path / "two.h5", "classification", 2)


def test_an_onnx_file_is_read_once_at_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read, graph_of = tmp_path / "once.onnx", [], front.graph_of
    monkeypatch.setattr(front, "graph_of", lambda *given: read.append(given) or graph_of(*given))
    model = {"file": str(path), "preprocess": None, "outputs": None, "input_size": 32}
    for factor in (2.0, 4.0):
        given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])
        made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 1, 1])
        nodes = [helper.make_node("Mul", ["x", "f"], ["m"]), helper.make_node("GlobalAveragePool", ["m"], ["y"])]
        graph = helper.make_graph(nodes, "g", [given], [made], [numpy_helper.from_array(np.float32(factor), "f")])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
        texts = [scaling_text(model) for _ in range(2)]
        check_file(path, "none", None, size=(32, 32))
        assert texts[0] == texts[1] == f"rgb:{1 / factor:g},{1 / factor:g},{1 / factor:g}:0.0,0.0,0.0"
    assert len(read) == 2
