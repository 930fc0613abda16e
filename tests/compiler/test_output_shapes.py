"""No shape is assumed: what the compiler makes has the shapes of the Keras model, or it refuses by the layer's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h5_models import H5Model

import xir
from softdpu.compiler import compile_model
from softdpu.compiler.inspector import inspect_model
from softdpu.compiler.layers import LAYERS
from softdpu.errors import SoftdpuError
from softdpu.keras2.kinds import KEEP_SHAPE, SHAPE_FOLLOWS
from softdpu.numbers import boards

keras = pytest.importorskip("tf_keras")
tf = pytest.importorskip("tensorflow")
L = keras.layers


class Halves(keras.layers.Layer):
    """A user's own layer, which makes another shape than it reads."""

    def call(self, inputs: Any) -> Any:
        return inputs[:, ::2, 1::2, :5]


def between(*layers: Any) -> Any:
    """Return a model with these layers between two convolutions."""
    return keras.Sequential([L.Input((16, 12, 3)), L.Conv2D(8, 3, padding="same"), *layers, L.Conv2D(4, 1)])


def attention() -> Any:
    image = L.Input((16, 12, 3))
    x = L.Conv2D(8, 3, padding="same")(image)
    query, value = L.Reshape((24, 64))(x), L.Reshape((96, 16))(x)
    return keras.Model(image, L.Dense(3)(L.Flatten()(L.Attention()([query, value, L.Dense(64)(value)]))))


MODELS: dict[str, Callable[[], Any]] = {
    "resize": lambda: between(L.Lambda(lambda x: tf.image.resize(x, (20, 7)))),
    "crop": lambda: between(L.Lambda(lambda x: x[:, 1:-2, 3:])),
    "blocks": lambda: between(L.Lambda(lambda x: tf.nn.depth_to_space(x, 2))),
    "mean": lambda: between(L.Lambda(lambda x: tf.reduce_mean(x, [1, 2], keepdims=True))),
    "turn": lambda: between(L.Lambda(lambda x: tf.transpose(x, [0, 3, 2, 1]))),
    "own class": lambda: between(Halves()),
    "RandomCrop": lambda: between(L.RandomCrop(6, 5)),
    "Resizing": lambda: between(L.Resizing(5, 9)),
    "EinsumDense": lambda: between(L.EinsumDense("abcd,de->abce", (None, 12, 7))),
    "Attention": attention,
}


def quantized(model: Any) -> Any:
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    strange = {type(layer) for layer in model.layers} - {L.InputLayer, L.Conv2D, L.Dense, L.Flatten, L.Reshape}
    images = np.random.default_rng(0).uniform(-1, 1, (4, *model.input_shape[1:])).astype(np.float32)
    own = {kind.__name__: kind for kind in strange}
    return VitisQuantizer(model, custom_objects=own).quantize_model(calib_dataset=images)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("compiled_again", [False, True])
def test_shapes_are_those_of_the_model(name: str, compiled_again: bool, tmp_path: Path) -> None:
    model = MODELS[name]()
    ready = quantized(model)
    if compiled_again:  # which takes the place of what add_shape_info=True stores
        ready.compile(loss="mse", optimizer="adam")
    ready.save(tmp_path / "q.h5")
    compile_model(tmp_path / "q.h5", "zcu102", tmp_path / "q.xmodel")
    graph = xir.Graph.deserialize(str(tmp_path / "q.xmodel"))
    (last,) = graph.get_root_subgraph().toposort_child_subgraph()[-1].get_output_tensors()
    assert list(last.dims)[1:] == list(model.output_shape[1:])
    by_name = {op.get_name(): list(op.get_output_tensor().dims)[1:] for op in graph.get_ops()}
    for layer in model.layers:
        if layer.name in by_name and not isinstance(layer, L.InputLayer):
            assert by_name[layer.name] == list(layer.output_shape[1:])


@pytest.mark.parametrize("kind", ["Lambda", "RandomCrop", "Attention", "OwnLayer", "LSTM", "Conv1D"])
def test_file_that_does_not_say_the_shape(kind: str, tmp_path: Path) -> None:
    toy = H5Model()
    x = toy.bare(kind, "strange", [toy.conv(toy.input((6, 6, 4)), (4, 2))])
    path = toy.write(tmp_path / "m.h5", [toy.conv(x, (2, 2))])
    for use in (inspect_model, lambda *args: compile_model(*args, tmp_path / "m.xmodel")):
        with pytest.raises(SoftdpuError, match=rf"layer 'strange' \({kind}\).*shape") as error:
            use(path, boards.find_target("zcu102"))
        assert "\n" not in str(error.value)
    assert not (tmp_path / "m.xmodel").exists()


@pytest.mark.parametrize("name", ["resize", "own class", "Attention"])
def test_inspector_of_a_float_model_refuses_by_name(name: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    model.save(tmp_path / "float.h5")
    strange = next(layer for layer in model.layers if type(layer).__name__ in ("Lambda", "Halves", "Attention"))
    with pytest.raises(SoftdpuError, match=f"'{strange.name}'"):
        inspect_model(tmp_path / "float.h5", boards.find_target("zcu102"))


def test_lambda_that_says_its_shape(tmp_path: Path) -> None:
    model = between(L.Lambda(lambda x: x[:, ::2, ::2], output_shape=(8, 6, 8), name="cut"))
    model.save(tmp_path / "float.h5")
    places = {place.layer: place for place in inspect_model(tmp_path / "float.h5", boards.find_target("zcu102"))}
    assert places["cut"].device == "CPU"


def test_table_of_kinds_is_that_of_the_compiler() -> None:
    assert set(LAYERS) <= SHAPE_FOLLOWS
    assert not SHAPE_FOLLOWS & KEEP_SHAPE
    for name in KEEP_SHAPE - {"VitisLayernorm", "VitisSoftmax", "SyncBatchNormalization"}:
        arguments = {"GroupNormalization": [2], "RandomFlip": [], "RandomTranslation": [0.1, 0.1]}
        more = [0.1] if name.startswith(("Random", "Spatial")) else []
        layer = getattr(L, name)(*arguments.get(name, more))
        shape = (None, 5, 5, 5, 4) if name.endswith("3D") else (None, 5, 4) if name.endswith("1D") else (None, 6, 5, 4)
        assert tuple(layer.compute_output_shape(shape)) == shape
