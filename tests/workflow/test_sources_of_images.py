"""Other data sets than the default one, through the rules: a folder of images, ImageNet's tars."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from workflow_tools import ROOT, copy_project, snakemake

pytestmark = pytest.mark.slow


def image_folder(root: Path) -> None:
    random = np.random.default_rng(1)
    for split, count in (("train", 6), ("val", 3)):
        for name in ("Äpfel", "pears"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                data = cv2.imencode(".png", random.integers(0, 256, (40, 50, 3), np.uint8))[1].tobytes()
                (folder / f"{i}.png").write_bytes(data)


def test_an_image_folder_becomes_records_and_a_contact_sheet(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    image_folder(folder / "mine")
    (folder / "config.yaml").write_text(
        "dataset: {kind: image_folder, path: mine, train_shards: 2, val_shards: 1, fit: crop}\n"
    )
    run = snakemake(folder, "-j2", "inspect_records")
    assert run.returncode == 0, run.stdout[-3000:]
    manifest = json.loads((folder / "build/tfrec_train/manifest.json").read_text())
    assert manifest["counts"] == {"pears": 6, "Äpfel": 6}
    assert (folder / "build/tfrec_train/labels.txt").read_text() == "pears\nÄpfel\n"
    sheet = cv2.imread(str(folder / "build/inspect_train.png"))
    assert sheet is not None
    assert sheet.std() > 0

    assert "Nothing to be done" in snakemake(folder, "-n", "inspect_records").stdout
    (folder / "mine/train/pears/0.png").unlink()
    assert "records_shard" in snakemake(folder, "-n", "inspect_records").stdout


def test_imagenets_tars_become_one_shard_a_class(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    tool = ROOT / "tests/dataset/make_ilsvrc.py"
    command = [sys.executable, str(tool), "--output", str(folder / "tars"), "--classes", "3", "--megabytes", "1"]
    subprocess.run(command, check=True, capture_output=True)
    (folder / "config.yaml").write_text(
        "dataset: {kind: imagenet, train_tar: tars/ILSVRC2012_img_train.tar, val_tar: tars/ILSVRC2012_img_val.tar,"
        " ground_truth: tars/val.txt, classes: 2, images_per_shard: 7}\n"
    )
    run = snakemake(folder, "-j2", "build/tfrec_train/manifest.json", "build/tfrec_val/manifest.json")
    assert run.returncode == 0, run.stdout[-3000:]
    train = json.loads((folder / "build/tfrec_train/manifest.json").read_text())
    val = json.loads((folder / "build/tfrec_val/manifest.json").read_text())
    assert len(train["shards"]) == 2
    assert max(val["shards"].values()) <= 7
    assert train["classes"] == val["classes"]


def test_missing_tars_are_named(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    run = snakemake(folder, "-n", "target_zcu102", "--configfile", str(ROOT / "config/imagenet.yaml"))
    assert run.returncode != 0
    assert "ILSVRC2012_img_train.tar" in run.stdout
    assert "Traceback (most recent call last)" not in run.stdout
