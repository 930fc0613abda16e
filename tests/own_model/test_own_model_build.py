"""A residual network that Keras 3 trained on a folder of images goes through the whole build."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from workflow_tools import copy_project, snakemake

pytestmark = pytest.mark.long

CONFIG = """\
dataset: {{kind: image_folder, path: {images}, train_shards: 1, val_shards: 1}}
model: {{file: {model}}}
quantize: {{calib_images: 32}}
finetune: {{epochs: 0}}
package: {{images: 20, golden: 2}}
"""


def test_the_build_takes_an_own_model(keras3_models: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "own")
    images, model = keras3_models / "images", keras3_models / "residual.keras"
    (folder / "config.yaml").write_text(CONFIG.format(images=images, model=model))
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102")
    assert run.returncode == 0, run.stdout[-4000:]
    steps = json.loads((folder / "build/ladder_zcu102.json").read_text())["steps"]
    assert [step["name"] for step in steps] == ["float model", "quantized", "on target"]  # nothing was fine-tuned
    assert steps[0]["accuracy"] > 0.9  # the colours are told apart, so pixels are scaled as in training
    assert abs(steps[1]["accuracy"] - steps[0]["accuracy"]) < 0.1
    assert json.loads((folder / "build/check_zcu102.json").read_text())["different_logits"] == 0
    card = json.loads((folder / "build/target_zcu102/preprocess.json").read_text())
    assert card["scaling"] == {"order": "rgb", "divide": [255.0] * 3, "subtract": [0.0] * 3}
    layers = json.loads((folder / "build/inspect_zcu102.json").read_text())["layers"]
    assert "CPU" not in {layer["device"] for layer in layers}
    quantized = (folder / "build/quant_model/quant_model.h5").read_bytes()
    assert (folder / "build/quant_ft_model/quant_ft.h5").read_bytes() == quantized

    plan = snakemake(folder, "-n", "target_zcu102")
    assert "Nothing to be done" in plan.stdout
    told = snakemake(folder, "-n", "target_zcu102", "--config", f"model={{file: {keras3_models}/only.weights.h5}}")
    assert told.returncode and "only.weights.h5 holds weights alone, no model" in told.stdout
    assert "Traceback" not in told.stdout
