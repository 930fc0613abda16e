"""A first try with a few images of one's own: the whole build and its report."""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow_tools import ROOT, copy_project, snakemake

from softdpu.build import config as configuration
from softdpu.errors import SoftdpuError

CONFIG = """\
dataset: {train_images: 40, val_images: 20, train_shards: 1, val_shards: 1}
model: {input_size: 32}
train: {epochs: 4, batch_size: 8}
quantize: {recipe: vitis}
finetune: {epochs: 1, batch_size: 8}
"""


@pytest.mark.long
def test_a_build_and_its_report_with_40_images(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "few")
    (folder / "config.yaml").write_text(CONFIG)
    built = snakemake(folder, "-j2", "report_inputs")
    assert built.returncode == 0, built.stdout[-3000:]
    assert "note: calibrated with all 40 training images" in "".join(
        path.read_text() for path in (folder / "logs").glob("*.log")
    )
    told = snakemake(folder, "report_inputs", "--report", "build/report.html")
    assert told.returncode == 0, told.stdout[-3000:]
    assert (folder / "build" / "report.html").stat().st_size > 1 << 16


@pytest.mark.parametrize("key", ["train_images", "val_images"])
@pytest.mark.parametrize("images", [10, 40, 99, 127, None])
def test_few_images_are_a_configuration(key: str, images: int | None) -> None:
    values = {"dataset": {key: images}}
    configuration.complete(values, ROOT / "schemas" / "config.schema.yaml")
    assert values["dataset"][key] == images


@pytest.mark.parametrize("images", [-1, 0, 9, 10.5, "many"])
def test_too_few_images_are_told(images: object) -> None:
    with pytest.raises(SoftdpuError, match=r"dataset\.train_images: expected"):
        configuration.complete({"dataset": {"train_images": images}}, ROOT / "schemas" / "config.schema.yaml")
