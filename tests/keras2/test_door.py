"""The door for model files: what a file names is checked before Keras builds anything from it."""

from __future__ import annotations

import io
import json
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from softdpu.compiler.keras_h5 import read_keras_model
from softdpu.errors import SoftdpuError
from softdpu.keras2 import door, hdf5
from softdpu.keras2.api import keras, tf
from softdpu.own_model import load as own_load
from softdpu.own_model import model_file

MARK: list[str] = []


def _net() -> Any:
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    return keras.Model(image, keras.layers.Dense(2, name="logits")(keras.layers.GlobalAveragePooling2D(name="mean")(x)))


@pytest.fixture(scope="module")
def h5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("door") / "net.h5"
    _net().save(str(path), include_optimizer=False)
    return path


@pytest.fixture
def copy(h5: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.h5"
    path.write_bytes(h5.read_bytes())
    return path


def _change(path: Path, change: Any) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config["config"])
        file.attrs["model_config"] = json.dumps(config)


def _refused(path: Path, *words: str, compiler: bool = True) -> None:
    """Every program's way to a model file refuses it in one line."""
    ways = [door.load_model, lambda path: own_load.load(model_file.read(path), 8)]
    for way in ways + [read_keras_model] * compiler:
        with pytest.raises(SoftdpuError) as caught:
            way(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000
        assert way is not door.load_model or all(word in str(caught.value) for word in words), str(caught.value)


def _with_lambda(where: str) -> Any:
    inner = keras.layers.Lambda(lambda x: __import__(__name__).MARK.append("ran") or x, name="evil")
    image = keras.Input((4, 4, 3), name="image")
    if where == "plain":
        return keras.Model(image, inner(image))
    if where == "distributed":
        return keras.Model(image, keras.layers.TimeDistributed(inner)(image))
    if where == "twice":
        wrapped = keras.layers.TimeDistributed(keras.layers.TimeDistributed(inner))
        return keras.Model(image, wrapped(keras.layers.Reshape((4, 4, 3, 1))(image)))
    if where == "sequential":
        return keras.Sequential([keras.Input((4, 4, 3)), keras.Sequential([keras.Input((4, 4, 3)), inner])])
    return keras.Model(image, keras.Model(image, inner(image), name="deep")(image))


@pytest.mark.parametrize("ending", ["h5", "keras"])
@pytest.mark.parametrize("where", ["plain", "distributed", "twice", "sequential", "functional"])
def test_code_in_a_file_never_runs(tmp_path: Path, where: str, ending: str) -> None:
    path = tmp_path / f"model.{ending}"
    _with_lambda(where).save(str(path), **({"save_format": "h5"} if ending == "h5" else {}))
    MARK.clear()
    _refused(path, "Lambda", "--trust", compiler=False)
    assert not MARK


def test_trust_lets_code_run(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    image = keras.Input((4,), name="image")
    keras.Model(image, keras.layers.Lambda(lambda x: x * 2)(image)).save(str(path))
    model = door.load_model(path, trust=True)
    assert float(model(np.ones((1, 4), np.float32))[0, 0]) == 2


_OBJECTS: list[dict[str, Any]] = [
    {"class_name": "Bidirectional", "config": {"layer": {"class_name": "Lambda", "config": {"function": ["4wE="]}}}},
    {"class_name": "RNN", "config": {"cell": {"class_name": "Lambda", "config": {"function": ["4wE="]}}}},
    {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}},
    {"class_name": "function", "config": "system", "module": "os", "registered_name": "system"},
    {"class_name": "function", "config": "load_model", "module": "builtins", "registered_name": "function"},
    {"class_name": "Popen", "config": {"args": "true"}, "module": "subprocess", "registered_name": None},
    {"class_name": "Conv2D", "config": {}, "module": "evil_package", "registered_name": None},
    {"class_name": "Zeros", "config": {}, "module": "keras.initializers", "registered_name": "Evil>Zeros"},
    {"class_name": "TFSMLayer", "config": {"filepath": "/"}},
    {"class_name": "StringLookup", "config": {"vocabulary": "/etc/hostname"}},
    {"class_name": "TypeSpec", "type_spec": "tf.TensorSpec", "serialized": []},
    {"class_name": "TFOpLambda", "config": {"name": "w", "function": "io.write_file"}},
    {"class_name": "TFOpLambda", "config": {"name": "w", "function": "compat.v1.py_func"}},
    {"class_name": "TFOpLambda", "config": {"name": "w", "function": ["math.add"]}},
    {"class_name": "ClassMethod", "config": {"cls_symbol": "RaggedTensor", "method_name": "from_row_splits"}},
    {"class_name": "ResidualWrapper", "config": {"residual_fn": "x", "residual_fn_type": "lambda"}},
    {"class_name": ["Conv2D"], "config": {}},
    {"class_name": "Custom>NotRegistered", "config": {}},
]


@pytest.mark.parametrize("key", ["kernel_initializer", "kernel_regularizer", "kernel_constraint", "activation", "new"])
@pytest.mark.parametrize("named", _OBJECTS, ids=lambda named: str(named["class_name"]))
def test_objects_outside_the_list_are_refused_anywhere(named: dict[str, Any], key: str) -> None:
    for config in ({key: named}, {"deep": [{"layer": {"class_name": "Dense", "config": {key: named}}}]}):
        with pytest.raises(SoftdpuError, match="may not name"):
            door.check_classes({"class_name": "Functional", "config": config}, "model.h5")


@pytest.mark.parametrize("name", ["deserialize", "get", "system", "Popen", "keras.activations.relu", "__builtins__"])
def test_functions_outside_the_list_are_refused(name: str) -> None:
    with pytest.raises(SoftdpuError, match="as activation"):
        door.check_classes({"class_name": "Dense", "config": {"activation": name}}, "model.h5")


@keras.utils.register_keras_serializable(package="DoorTest")
class Known(keras.layers.Layer):  # type: ignore[name-defined,misc]
    """A layer of the user's own code."""

    def call(self, x: Any) -> Any:
        return x + 1


@pytest.mark.parametrize("ending", ["h5", "keras"])
def test_registered_classes_are_taken(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"model.{ending}"
    image = keras.Input((4,), name="image")
    keras.Model(image, Known()(image)).save(str(path))
    assert float(door.load_model(path)(np.zeros((1, 4), np.float32))[0, 0]) == 1


def test_all_allowed_layers_are_keras_own() -> None:
    missing = [name for name in door.allowed.LAYERS if not hasattr(keras.layers, name)]
    gone = {"Functional", "Model", "Sequential", "TFOpLambda", "SlicingOpLambda", "SyncBatchNormalization"}
    assert set(missing) - gone <= {"BatchNormalizationV1", "BatchNormalizationV2", "GRUV2", "LSTMV2"}
    for name in (
        "math.add",
        "nn.relu6",
        "__operators__.getitem",
        "linalg.matmul",
        "compat.v1.transpose",
        "image.resize",
    ):
        assert door.allowed.is_function(name)
    for name in (
        "io.write_file",
        "py_function",
        "numpy_function",
        "saved_model.load",
        "raw_ops.WriteFile",
        "load_library",
    ):
        assert not door.allowed.is_function(name)


def _layer(config: dict[str, Any], name: str) -> Any:
    return next(entry for entry in config["layers"] if entry["name"] == name)


def _reads(config: dict[str, Any], name: str, *sources: Any) -> None:
    _layer(config, name)["inbound_nodes"] = [[[*source, {}] for source in sources]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: _reads(c, "relu", ("relu", 0, 0)), ("relu", "circle")),
        (lambda c: _reads(c, "conv", ("relu", 0, 0)), ("conv", "norm", "relu", "circle")),
        (lambda c: _reads(c, "relu", ("norm", 1, 0)), ("relu", "norm", "call 1")),
        (lambda c: _reads(c, "relu", ("norm", -1, 0)), ("relu", "call -1")),
        (lambda c: _reads(c, "relu", ("gone", 0, 0)), ("relu", "gone")),
        (lambda c: _reads(c, "relu", ("norm", "x", 0)), ("relu", "no tensor")),
        (lambda c: _layer(c, "norm").update(inbound_nodes=[]), ("relu", "norm", "call 0")),
        (lambda c: c.update(output_layers=[["gone", 0, 0]]), ("output_layers", "gone")),
        (lambda c: c.update(output_layers=[]), ("output_layers",)),
        (lambda c: _layer(c, "relu").update(inbound_nodes=5), ("relu", "inbound_nodes")),
        (lambda c: c["layers"].append(c["layers"][1]), ("two layers", "conv")),
        (lambda c: c.update(layers=[]), ("no layers",)),
        (lambda c: c.update(layers={"a": 1}), ("no layers",)),
        (lambda c: c["layers"].append("conv"), ("class_name",)),
        (lambda c: _layer(c, "relu").update(class_name=5), ("class_name",)),
        (lambda c: _layer(c, "relu")["config"].update(name="other"), ("relu", "other")),
        (lambda c: _layer(c, "logits")["config"].update(units=10.5), ("logits", "units 10.5")),
        (lambda c: _layer(c, "logits")["config"].update(units=-1), ("logits", "units -1")),
        (lambda c: _layer(c, "conv")["config"].update(filters="4"), ("conv", "filters '4'")),
        (lambda c: _layer(c, "conv")["config"].update(strides=[0, 1]), ("conv", "strides [0, 1]")),
        (lambda c: _layer(c, "conv")["config"].update(kernel_size=[]), ("conv", "kernel_size []")),
        (lambda c: _layer(c, "norm")["config"].update(epsilon=float("nan")), ("NaN",)),
        (lambda c: _layer(c, "norm")["config"].update(epsilon=-1), ("norm", "epsilon -1")),
        (
            lambda c: _layer(c, "image")["config"].update(batch_input_shape=[None, 1 << 40, 8, 3]),
            ("batch_input_shape",),
        ),
        (lambda c: _layer(c, "logits")["config"].update(units=1 << 23), ("logits",)),
    ],
)
def test_damaged_structure_names_the_layer(copy: Path, change: Any, words: tuple[str, ...]) -> None:
    _change(copy, change)
    _refused(copy, *[word for word in words if word != "logits" or len(words) > 1], compiler=words != ("logits",))


def test_models_inside_models_are_counted(copy: Path) -> None:
    def nest(config: dict[str, Any]) -> None:
        inner = json.loads(json.dumps(config))
        for depth in range(30):
            name = f"deep_{depth}"
            entry = {"class_name": "Functional", "name": name, "config": {**inner, "name": name}}
            entry["inbound_nodes"] = [[["image", 0, 0, {}]], [["image", 0, 0, {}]]]
            inner = {"name": "m", "layers": [config["layers"][0], entry], "input_layers": [["image", 0, 0]]}
            inner["output_layers"] = [[name, 1, 0]]
        config.update(inner)

    _change(copy, nest)
    _refused(copy, "models inside models")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 5000, "", "{", "5", "null", '{"config": 5}', '{"x": NaN}'])
def test_texts_that_are_no_configuration(copy: Path, text: str) -> None:
    with h5py.File(copy, "r+") as file:
        del file.attrs["model_config"]
        if len(text) < 60_000:
            file.attrs["model_config"] = text
        else:
            file.attrs["model_config"] = text.encode()
    _refused(copy)


def _replace(path: Path, make: Any) -> None:
    with h5py.File(path, "r+") as file:
        group = file["model_weights/logits/logits"]
        del group["bias:0"]
        make(file, group)


_STORAGE = {
    "external storage": lambda file, group: group.create_dataset(
        "bias:0", (2,), "f4", external=[(str(Path(__file__)), 0, 8)]
    ),
    "external link": lambda file, group: group.__setitem__("bias:0", h5py.ExternalLink("other.h5", "/x")),
    "soft link": lambda file, group: group.__setitem__("bias:0", h5py.SoftLink("/model_weights")),
    "virtual": lambda file, group: group.create_virtual_dataset("bias:0", _virtual()),
    "group in a circle": lambda file, group: group.__setitem__("bias:0", file["model_weights"]),
    "terabytes, packed": lambda file, group: group.create_dataset("bias:0", (1 << 40,), "f4", compression="gzip"),
    "terabytes": lambda file, group: group.create_dataset("bias:0", (1 << 40,), "f4"),
    "large chunk": lambda file, group: group.create_dataset("bias:0", (1 << 28,), "f4", chunks=(1 << 28,)),
    "references": lambda file, group: group.create_dataset("bias:0", data=[group.ref], dtype=h5py.ref_dtype),
    "texts": lambda file, group: group.create_dataset("bias:0", data=["a", "b"]),
    "type": lambda file, group: group.__setitem__("bias:0", np.dtype("f4")),
}


def _virtual() -> Any:
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    return layout


@pytest.mark.parametrize("kind", _STORAGE)
def test_values_outside_the_file_are_refused(copy: Path, kind: str) -> None:
    _replace(copy, _STORAGE[kind])
    _refused(copy, "bias:0", "Keras writes no such file")


@pytest.mark.parametrize("values", [[np.nan, 0], [np.inf, 0], ["a", "b"]])
def test_weights_are_numbers(copy: Path, values: Any) -> None:
    data = np.array(values, "S1" if values == ["a", "b"] else "f4")
    _replace(copy, lambda file, group: group.create_dataset("bias:0", data=data))
    _refused(copy, "bias")


def test_a_variance_below_0_is_refused(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["model_weights/norm/norm/moving_variance:0"][0] = -1
    _refused(copy, "moving_variance", "below 0")


def _archive(path: Path, weights: bytes, **settings: Any) -> None:
    source = path.with_suffix(".made.keras")
    _net().save(str(source))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", **settings) as new:
        new.writestr("config.json", old.read("config.json"))
        new.writestr("metadata.json", old.read("metadata.json"))
        new.writestr("model.weights.h5", weights or old.read("model.weights.h5"))


def test_archives_that_unpack_to_gigabytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    _archive(path, bytes(100 << 20), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    _refused(path, "unpacks from", compiler=False)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("sizes", [(1 << 20, 1 << 20), ((1 << 31) - 1, (1 << 31) - 1), ((1 << 32) - 2, (1 << 32) - 2)])
def test_members_larger_than_the_archive_are_refused(tmp_path: Path, method: int, sizes: tuple[int, int]) -> None:
    path = tmp_path / "model.keras"
    _archive(path, b"", compression=method)
    data = path.read_bytes()
    place = data.rindex(b"PK\1\2") + 20  # the weights come last
    path.write_bytes(data[:place] + struct.pack("<II", *sizes) + data[place + 8 :])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refused(path, "more than the file", compiler=False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 100 << 10


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_ordinary_archives_are_taken(tmp_path: Path, method: int) -> None:
    path = tmp_path / "model.keras"
    _archive(path, b"", compression=method)
    assert door.load_model(path).output_shape == (None, 2)
    assert own_load.load(model_file.read(path), 8).output_shape == (None, 2)


def test_encrypted_and_oddly_packed_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    _archive(path, b"", compression=zipfile.ZIP_LZMA)
    _refused(path, "Keras does not use", compiler=False)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = data.find(mark)
        while start >= 0:
            data[start + offset] |= 1
            start = data.find(mark, start + 1)
    path.write_bytes(data)
    _refused(path, "encrypted", compiler=False)


def test_a_file_in_an_archive_is_checked_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["layers/conv2d/vars/0"] = h5py.ExternalLink("/etc/other.h5", "/x")
    path = tmp_path / "model.keras"
    _archive(path, buffer.getvalue())
    _refused(path, "external link", compiler=False)


def test_variables_larger_than_the_file_take_no_memory(copy: Path) -> None:
    _change(copy, lambda config: _layer(config, "logits")["config"].update(units=1 << 24))
    made: list[Any] = []

    def watch(make: Any, **arguments: Any) -> Any:
        made.append(tf.TensorShape(arguments["shape"]).num_elements())
        return make(**arguments)

    with tf.variable_creator_scope(watch), pytest.raises(SoftdpuError, match="bytes of weights that the file holds"):
        door.load_model(copy)
    assert sum(made) < 10_000


@pytest.mark.parametrize(
    ("index", "length"),
    [(0, 0), (0, 8), (0, 1 << 20), (0, (1 << 64) - 16), (1, 1 << 20), (1, (1 << 64) - 16), (1, (1 << 64) - 1)],
)
def test_texts_without_an_end_are_refused(tmp_path: Path, index: int, length: int) -> None:
    """HDF5's library goes round for ever in such a heap."""
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL") + 16
    used = 16 + 8  # the object of the text; what is free follows
    place = heap + (0 if index else used)
    struct.pack_into("<HHIQ", data, place, index, 0, 0, length)
    path.write_bytes(data)
    for source in (path, io.BytesIO(bytes(data))):
        message = r"m\.h5 is damaged: its texts at byte \d+ do not end"
        with pytest.raises(SoftdpuError, match=message), hdf5.open_checked(source, "m.h5"):
            pass
