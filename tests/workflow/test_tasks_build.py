"""Other tasks through the rules: a small segmentation from end to end, and what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from workflow_tools import ROOT, copy_project, snakemake

from softdpu.build import config
from softdpu.errors import SoftdpuError

SEGMENTATION = """\
task: segmentation
dataset: {kind: shapes, train_images: 100, val_images: 100, train_shards: 1, val_shards: 1}
model: {input_size: 32}
train: {epochs: 1, batch_size: 16}
quantize: {recipe: vitis, calib_images: 16}
finetune: {epochs: 0}
package: {images: 6, golden: 1}
"""


@pytest.mark.long
def test_segmentation_from_end_to_end(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    (folder / "config.yaml").write_text(SEGMENTATION)
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102")
    assert run.returncode == 0, run.stdout[-4000:]
    steps = json.loads((folder / "build/ladder_zcu102.json").read_text())["steps"]
    assert [step["name"] for step in steps] == ["float model", "quantized", "on target"]
    assert all(0 < step["mean_iou"] <= 1 for step in steps)
    found = json.loads((folder / "build/check_zcu102.json").read_text())
    assert found["different_logits"] == 0 and found["different_images"] == []
    assert found["logits"] == 6 * 32 * 32 * 4
    assert len(list((folder / "build/target_zcu102/masks").glob("*.png"))) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("task: none\n", "task none has no network to train; name a trained one (model.file)"),
        ("task: segmentation\n", "task segmentation takes dataset.kind image_folder or shapes, got fashion_mnist"),
        ("model: {input_size: 32x48}\n", "model.input_size 32x48 needs a model.file"),
        ("task: none\nmodel: {file: m.h5}\n", "task none trains nothing; set finetune.epochs: 0"),
    ],
)
def test_what_does_not_fit_is_told_at_planning(tmp_path: Path, settings: str, message: str) -> None:
    with pytest.raises(SoftdpuError) as caught:
        config.complete(yaml.safe_load(settings), ROOT / "schemas/config.schema.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
