"""Networks from ONNX files go through the whole build: a classifier that picks its class, and any outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
sys.path.insert(0, str(Path(__file__).parents[1] / "onnx_import"))
from graphs import Builder
from workflow_tools import copy_project, snakemake

pytestmark = pytest.mark.long

COLOURS = {"blue": (200, 60, 60), "green": (60, 200, 60), "red": (60, 60, 200)}  # blue, green, red, as OpenCV writes
CLASSIFICATION = """\
dataset: {kind: image_folder, path: images, train_shards: 1, val_shards: 1}
model: {file: net.onnx, preprocess: unit}
quantize: {calib_images: 16}
finetune: {epochs: 0}
package: {images: 8, golden: 2}
"""
NONE = """\
task: none
dataset: {kind: image_folder, path: images, train_shards: 1, val_shards: 1}
model: {file: net.onnx, outputs: [edges, scores], input_size: 24x32}
quantize: {calib_images: 16}
finetune: {epochs: 0}
package: {images: 8, golden: 2}
"""


def write_images(folder: Path) -> None:
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(20):
            image = np.clip(np.array(colour) + random.normal(0, 40, (24, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), image)


def build(tmp_path: Path, make: Builder, end: str, config: str, *targets: str) -> Path:
    """Build a network with a configuration and return the build's folder."""
    folder = copy_project(tmp_path / "project")
    write_images(folder / "images")
    make.save(folder / "net.onnx", end)
    (folder / "config.yaml").write_text(config)
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102", *targets)
    assert run.returncode == 0, run.stdout[-4000:]
    assert json.loads((folder / "build/check_zcu102.json").read_text())["different_logits"] == 0
    return folder / "build"


def test_a_classifier_that_picks_its_class(tmp_path: Path) -> None:
    make = Builder(("N", 3, 24, 32))
    edges = make.add("Relu", make.conv("images", 3, 8))
    colours = make.add("Conv", "images", make.constant(np.eye(3)[::-1].reshape(3, 3, 1, 1)))  # blue, green, red
    dark = np.concatenate([np.eye(3), np.zeros((3, 8))], axis=1).reshape(3, 11, 1, 1)
    x = make.add("Conv", make.add("Concat", colours, edges, axis=1), make.constant(dark))
    logits = make.add("Flatten", make.add("GlobalAveragePool", x))
    done = build(tmp_path, make, make.add("ArgMax", logits, axis=1), CLASSIFICATION)
    steps = json.loads((done / "ladder_zcu102.json").read_text())["steps"]
    assert [step["accuracy"] for step in steps] == [1, 1, 1]


def test_any_outputs_of_an_open_size(tmp_path: Path) -> None:
    make = Builder(("N", 3, "height", "width"))
    edges = make.add("Relu", make.conv("images", 3, 8, strides=[2, 2]))
    scores = make.conv(edges, 8, 4)
    make.nodes[-2].output[0] = make.nodes[-1].input[0] = "edges"
    make.nodes[-1].output[0] = scores = "scores"
    done = build(tmp_path, make, make.add("NonZero", scores), NONE, "doctor")
    ladder = json.loads((done / "ladder_zcu102.json").read_text())
    assert [step["name"] for step in ladder["steps"]] == ["float model", "quantized", "on target"]
    for step in ladder["steps"][1:]:
        assert [output["name"] for output in step["outputs"]] == ["Relu_1", "Conv_2"]  # the layers' names
        assert all(output["cosine"] > 0.99 and output["sqnr"] > 20 for output in step["outputs"])
    assert "Conv_2" in (done / "doctor/doctor.json").read_text()
