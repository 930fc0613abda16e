"""docs/extending.md: a source of images, a step of the rescue, a task and an operation of ONNX, out of tree."""

from __future__ import annotations

import importlib
import json
import runpy
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from softdpu import tasks
from softdpu.dataset import example, make, tfrecord
from softdpu.package import ladder

OPERATION = """
from pathlib import Path
import numpy as np
import onnxruntime
from graphs import Builder
from softdpu.errors import SoftdpuError
from softdpu.onnx_import.convert import import_onnx

build = Builder((1, 3, 8, 8), 17)
path = build.save(Path("shrink.onnx"), build.conv(build.add("Shrink", "images", lambd=0.3, bias=0.3), 3, 4))
imported = import_onnx(path)
images = np.random.default_rng(0).normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
[expected] = onnxruntime.InferenceSession(path).run(None, {"images": images})
found = imported.model.predict(images.transpose(0, 2, 3, 1), verbose=0)
np.testing.assert_allclose(found.transpose(0, 3, 1, 2), expected, rtol=1e-4, atol=1e-5)
build = Builder((1, 3, 8, 8), 17)
try:
    import_onnx(build.save(Path("hard.onnx"), build.add("Shrink", "images", lambd=0.3)))
except SoftdpuError as error:
    print(error)
"""


def test_a_source_of_images(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "SOURCES", dict(make.SOURCES))
    runpy.run_path(str(package / "my_source.py"))
    make.make(make.Choice("shapes", "", "train"), tmp_path, verify=True)
    assert (tmp_path / "labels.txt").read_text().split() == ["square", "disc"]
    path = tmp_path / "data_0.tfrecord"
    with open(path, "rb") as file:
        records = [example.decode(tfrecord.read(file.fileno(), entry)) for entry in tfrecord.index(path)]
    assert [record.label for record in records] == [0, 1] * 10
    corners = [cv2.imdecode(np.frombuffer(record.image, np.uint8), 1)[8, 8].min() > 128 for record in records]
    assert corners == [True, False] * 10


def test_a_step_of_the_rescue(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("tf_keras")
    from softdpu.quantizer import vitis_quantize
    from softdpu.rescue import recipe as recipes

    steps = dict(recipes.STEPS)
    monkeypatch.setattr(recipes, "STEPS", steps)
    runpy.run_path(str(package / "my_step.py"))
    assert list(steps)[-1] == "cut_outliers"
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.1, (3, 3, 3, 8)).astype(np.float32)
    kernel[0, 0, 0, 0] = 3.0  # one outlier takes four bits of all others
    model.get_layer("conv").set_weights([kernel, np.zeros(8, np.float32)])
    images = random.uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)
    recipe = recipes.Rescue.from_text("+cut_outliers-equalization")
    vitis_quantize.VitisQuantizer(model, recipe=recipe).quantize_model(calib_dataset=images)
    step = recipe.report[-1]
    assert (step["step"], step["detail"]) == ("cut_outliers", "1 weights")
    assert step["kept"] == (step["after"] < step["before"])


def test_a_task(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = pytest.importorskip("tf_keras")
    from softdpu.training import common, float_model
    from softdpu.training import tasks as training_tasks
    from softdpu.training.hyperparameters import Hyperparameters

    for tables, name in ((make, "SOURCES"), (tasks, "TASKS"), (training_tasks, "TASKS")):
        monkeypatch.setattr(tables, name, dict(getattr(tables, name)))
    monkeypatch.syspath_prepend(str(package))
    runpy.run_path(str(package / "my_source.py"))
    importlib.import_module("my_task")
    for split in ("train", "val"):
        make.make(make.Choice("shapes", "", split), tmp_path / split)
    data = common.Data(tmp_path / "val", tmp_path / "train", task="top_two")
    task = data.find_task()
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs)))
    targets, hyperparameters = task.targets(model), Hyperparameters(epochs=1, batch_size=10)
    train, val = common.train_batches(data, 32, targets, hyperparameters), common.val_batches(data, 32, targets, 1)
    float_model.train(model, train, val, hyperparameters, False, tmp_path / "logs", task=task)
    model.layers[-1].set_weights([np.zeros((3, 3)), np.array([0.0, 1.0, 2.0])])  # disc second, square last
    metrics = task.evaluate(model, val, tmp_path / "predictions.csv")
    assert (metrics["top_two"], metrics["accuracy"], metrics["images"]) == (0.5, 0.0, 20)
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    step = ladder.read_step("float", tmp_path / "metrics.json", tasks.find("top_two"))
    assert (step.accuracy, step.others, step.images) == (0.5, (0.0,), 20)
    assert "first two" in ladder.show_table([step], tasks.find("top_two"))


def test_an_operation_of_onnx(run_python: Callable[..., str]) -> None:
    pytest.importorskip("onnxruntime")
    message = run_python("-c", OPERATION, extension="shrink_operation")
    assert "Shrink has a bias that is not its lambd" in message
