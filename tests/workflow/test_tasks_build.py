"""Other tasks through the rules: a small segmentation from end to end, and what does not fit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from workflow_tools import ROOT, copy_project, environment, snakemake

from softdpu.build import config
from softdpu.errors import SoftdpuError
from softdpu.report.figures import list_figures

SEGMENTATION = """\
task: segmentation
dataset: {kind: shapes, train_images: 100, val_images: 100, train_shards: 1, val_shards: 1}
model: {input_size: 32}
train: {epochs: 1, batch_size: 16}
quantize: {recipe: vitis, calib_images: 16}
finetune: {epochs: 0}
package: {images: 6, golden: 1}
"""
PICTURES = ["masks.svg", "classes.html", "zcu102/ladder.html", "provenance.html"]  # one of each rule

NONE = """\
task: none
dataset: {kind: image_folder, path: images}
model: {file: net.onnx}
finetune: {epochs: 0}
"""


@pytest.mark.long
def test_segmentation_from_end_to_end(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    (folder / "config.yaml").write_text(SEGMENTATION)
    wanted = ["target_zcu102", "check_zcu102", *(f"build/report/{name}" for name in PICTURES)]
    run = snakemake(folder, "-j2", *wanted, "--config", "export=with_target")
    assert run.returncode == 0, run.stdout[-4000:]
    steps = json.loads((folder / "build/ladder_zcu102.json").read_text())["steps"]
    exported = ["xint8 ONNX", "vint8 ONNX", "tflite"]
    assert [step["name"] for step in steps] == ["float model", "quantized", "on target", *exported]
    assert {step["mean_iou"] for step in steps[3:]} == {steps[1]["mean_iou"]}, "they give the network's numbers"
    assert all(0 < step["mean_iou"] <= 1 for step in steps)
    found = json.loads((folder / "build/check_zcu102.json").read_text())
    assert found["different_logits"] == 0 and found["different_images"] == []
    assert found["logits"] == 6 * 32 * 32 * 4
    assert len(list((folder / "build/target_zcu102/masks").glob("*.png"))) == 6
    assert "true mask" in (folder / "build/report/masks.svg").read_text()
    assert f"{100 * steps[0]['mean_iou']:.2f}" in (folder / "build/report/zcu102/ladder.html").read_text()


ARRAYS = """\
task: none
dataset: {kind: arrays, path: arrays, train_shards: 1, val_shards: 1}
model: {file: net.h5}
quantize: {recipe: vitis, calib_images: 8}
finetune: {epochs: 0}
package: {images: 2, golden: 1}
"""
STEREO = """
import numpy as np, pathlib
from softdpu.keras2.api import keras
from softdpu.dataset import arrays
layers = keras.layers
pair = [keras.Input((16, 24, 1), name=name) for name in ("right", "left")]
both = [layers.Conv2D(4, 3, padding="same", activation="relu", name=f"conv_{one.name}")(one) for one in pair]
joined = layers.Conv2D(2, 3, name="disparity")(layers.Concatenate()(both))
keras.Model(pair, [joined, layers.GlobalAveragePooling2D(name="mean")(joined)]).save("net.h5")
pathlib.Path("arrays").mkdir()
random = np.random.default_rng(1)
for i in range(12):
    values = {"left": random.normal(size=(16, 24, 1)), "right": random.normal(size=(1, 1, 16, 24))}
    pathlib.Path(f"arrays/{i}.npz").write_bytes(arrays.write(values))
"""


@pytest.mark.long
def test_several_inputs_from_end_to_end(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    (folder / "config.yaml").write_text(ARRAYS)
    subprocess.run([sys.executable, "-c", STEREO], cwd=folder, env=environment(folder), check=True, timeout=300)
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102", "export")
    assert run.returncode == 0, run.stdout[-4000:]
    found = json.loads((folder / "build/check_zcu102.json").read_text())
    assert found["different_logits"] == 0 and found["different_images"] == []
    assert found["logits"] == 2 * (14 * 22 * 2 + 2)
    card = folder / "build/target_zcu102"
    assert json.loads((card / "preprocess.json").read_text()) == {
        "fit": "arrays",
        "inputs": {"quant_left": "left", "quant_right": "right"},
    }
    steps = json.loads((folder / "build/ladder_zcu102.json").read_text())["steps"]
    for step in steps[1:]:
        assert {one["name"] for one in step["outputs"]} == {"disparity", "mean"}
        assert all(one["sqnr"] > 10 for one in step["outputs"])
    command = [sys.executable, "app_raw.py", "--check", "--threads", "2", "--end_to_end"]
    app = subprocess.run(command, cwd=card, env=environment(folder), capture_output=True, text=True, timeout=300)
    assert app.returncode == 0 and "Check: 0 differences" in app.stdout, app.stdout + app.stderr
    sheet = snakemake(folder, "inspect_records")
    assert sheet.returncode and "Traceback" not in sheet.stdout, sheet.stdout


def write_network(path: Path) -> None:
    """Write an ONNX file with two outputs, a convolution and what another makes of it."""
    random = np.random.default_rng(1)
    weights = {"first": (8, 3, 3, 3), "second": (4, 8, 3, 3)}
    nodes = [
        onnx.helper.make_node("Conv", ["image", "first"], ["middle"], pads=[1] * 4, strides=[2, 2]),
        onnx.helper.make_node("Relu", ["middle"], ["edges"]),
        onnx.helper.make_node("Conv", ["edges", "second"], ["scores"], pads=[1] * 4),
    ]
    tensor = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [tensor("image", onnx.TensorProto.FLOAT, ["n", 3, 32, 48])],
        [tensor(name, onnx.TensorProto.FLOAT, None) for name in ("edges", "scores")],
        [
            onnx.numpy_helper.from_array(random.normal(0, 0.2, shape).astype(np.float32), name)
            for name, shape in weights.items()
        ],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.mark.slow
def test_the_report_of_every_task_is_planned(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    (folder / "images").mkdir()
    (folder / "config.yaml").write_text("{}")
    write_network(folder / "net.onnx")
    (folder / "none.yaml").write_text(NONE)
    for task, config_file, picture in (
        ("segmentation", ROOT / "config/segmentation.yaml", "masks.svg"),
        ("detection", ROOT / "config/detection.yaml", "boxes.svg"),
        ("none", "none.yaml", "similarity.svg"),
    ):
        run = snakemake(folder, "-n", "report_inputs", "--configfile", str(config_file))
        assert run.returncode == 0, run.stdout[-3000:]
        rules = set(re.findall(r"^(\w+) +\d+$", run.stdout, re.MULTILINE))
        assert {"doctor", "report_accuracy", "report_target", "report_build"} <= rules
        planned = {figure.file.format(target="zcu102") for figure in list_figures("report_accuracy", task)}
        assert f"report/{picture}" in planned and all(f"build/{file}" in run.stdout for file in planned)
        assert "confusion" not in run.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("task: none\n", "task none has no network to train; name a trained one (model.file)"),
        ("task: segmentation\n", "task segmentation takes dataset.kind image_folder or shapes, got fashion_mnist"),
        ("model: {input_size: 32x48}\n", "model.input_size 32x48 needs a model.file"),
        ("task: none\nmodel: {file: m.h5}\n", "task none trains nothing; set finetune.epochs: 0"),
        (
            "task: none\nmodel: {file: m.h5}\nfinetune: {epochs: 0}\nvariants: {a: {}}\n",
            "variants compares a metric; task none has none, so leave it out (variants)",
        ),
        ("dataset: {kind: arrays, path: x}\n", "task classification takes dataset.kind fashion_mnist or image_folder"),
        (
            "task: none\nmodel: {file: m.h5, preprocess: unit}\nfinetune: {epochs: 0}\n"
            "dataset: {kind: arrays, path: x}\n",
            "nothing is scaled; leave out model.preprocess",
        ),
    ],
)
def test_what_does_not_fit_is_told_at_planning(tmp_path: Path, settings: str, message: str) -> None:
    with pytest.raises(SoftdpuError) as caught:
        config.complete(yaml.safe_load(settings), ROOT / "schemas/config.schema.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
