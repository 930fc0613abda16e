"""A detector from a folder of images with boxes to the card, and what is measured on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from workflow_tools import copy_project, environment, snakemake

from softdpu.dataset import drawn_shapes

pytestmark = pytest.mark.slow

CONFIG = """\
task: detection
dataset: {kind: image_folder, path: shapes, fit: letterbox, train_shards: 1, val_shards: 1}
model: {input_size: 64, alpha: 0.25}
train: {epochs: 4, batch_size: 16, learning_rate: 0.01, threads: 2, augment: {flip: true}}
quantize: {recipe: vitis, calib_images: 32}
finetune: {epochs: 0}
detection: {show: 0.02}
package: {images: 30, golden: 2}
"""
STAGES = ["float model", "quantized", "on target"]


@pytest.mark.long
def test_the_build_makes_a_detector(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "detect")
    drawn_shapes.draw("detection", folder / "shapes", train=160, val=30, size=64)
    (folder / "config.yaml").write_text(CONFIG)
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102", "build/report/boxes.svg")
    assert run.returncode == 0, run.stdout[-4000:]
    steps = json.loads((folder / "build/ladder_zcu102.json").read_text())["steps"]
    assert [step["name"] for step in steps] == STAGES and {step["images"] for step in steps} == {30}
    # the card has all validation images, so the app's boxes are as good as those of the model that was compiled
    assert steps[2]["map50_95"] == pytest.approx(steps[1]["map50_95"], abs=1e-4)
    assert steps[2]["map50"] == pytest.approx(steps[1]["map50"], abs=1e-4)
    check = json.loads((folder / "build/check_zcu102.json").read_text())
    assert check["different_logits"] == 0 and check["different_images"] == []
    card = folder / "build/target_zcu102"
    settings = json.loads((card / "detection.json").read_text())
    assert settings["outputs"][0].startswith("quant_sides8") and settings["outputs"][1].startswith("quant_classes8")

    app = [sys.executable, "app_det.py", "--threads", "2", "--check", "--labels", "labels.json", "--json", "out.json"]
    done = subprocess.run(app, cwd=card, env=environment(folder), text=True, capture_output=True)
    assert done.returncode == 0 and "Check: 0 differences" in done.stdout, done.stderr
    report = json.loads((card / "out.json").read_text())
    assert report["map50_95"] == pytest.approx(steps[2]["map50_95"], abs=1e-6)
    rows = json.loads((folder / "build/boxes_zcu102.json").read_text())
    assert rows and {row["file_name"] for row in rows} <= {f"image{i}.png" for i in range(30)}
    assert "quantized" in (folder / "build/report/boxes.svg").read_text()

    assert "Nothing to be done" in snakemake(folder, "-n", "target_zcu102").stdout
    label = next((folder / "shapes/labels/val").iterdir())
    label.write_text("7 0.5 0.5 0.2 0.2\n")
    told = snakemake(folder, "-j2", "target_zcu102")
    assert told.returncode and f"{label.name}, line 1: the class must be 0 to 2, got 7" in told.stdout
    assert "Traceback" not in told.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("dataset={fit: crop}", "boxes need whole images"),
        ("model={input_size: 100}", "a multiple of 32 pixels, got 100"),
        ("detection={decoder: ssd}", "the decoder ssd needs anchors"),
        ("detection={decoder: none.py}", "the decoder none.py does not exist"),
        ("detection={decoder: yolov5}", "yolov5"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path: Path, changes: str, message: str) -> None:
    import yaml

    from softdpu.build import config as configuration
    from softdpu.errors import SoftdpuError

    root = Path(__file__).parents[2]
    key, _, value = changes.partition("=")
    config = {"task": "detection", "dataset": {"kind": "shapes"}, "model": {"input_size": 64}}
    config[key] = {**config.get(key, {}), **yaml.safe_load(value)}
    with pytest.raises(SoftdpuError, match=message):
        configuration.complete(config, root / "schemas/config.schema.yaml")
