from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_ilsvrc import base_jpegs, odd_files, with_segment

from softdpu.dataset import fashion_mnist, mask_folder, tar, tfrecord
from softdpu.dataset.folder import ImageFolder
from softdpu.dataset.listed import state
from softdpu.errors import SoftdpuError

ROOT = Path(__file__).parents[2]
JPEG = base_jpegs(1, 3, np.random.default_rng(0))[0]


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(odd_files(JPEG)["png"] if name.endswith("png") else with_segment(JPEG, 0xFE, name.encode()))


def names(source: ImageFolder) -> list[tuple[str, int]]:
    return [(raw.name, raw.label) for shard in range(source.shards) for raw in source.read(shard)]


@pytest.fixture
def split_folder(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        fill(tmp_path / "root" / split / "dog", "a.jpg", "B.JPEG", "deep/c.png")
        fill(tmp_path / "root" / split / "cat", "z.jpg", "notes.txt", ".hidden.jpg")
    (tmp_path / "root" / "train" / ".cache").mkdir()
    return tmp_path / "root"


def test_train_and_val_folders(split_folder: Path) -> None:
    for split in ("train", "val"):
        source = ImageFolder(split_folder, split, 2)
        assert source.classes == ["cat", "dog"]
        expected = [("cat/z.jpg", 0), ("dog/B.JPEG", 1), ("dog/a.jpg", 1), ("dog/deep/c.png", 1)]
        assert names(source) == [(f"{split}/{name}", label) for name, label in expected]
        assert source.count(0) == source.count(1) == 2


def test_records_of_a_folder(split_folder: Path, tmp_path: Path) -> None:
    (split_folder / "train" / "cat" / "empty.jpg").touch()
    (split_folder / "train" / "cat" / "gone.jpg").symlink_to(tmp_path / "nothing")
    command = [
        sys.executable, "scripts/make_records.py", "--kind", "image_folder", "--source", str(split_folder), "--split",
        "train", "--output", str(tmp_path / "out"), "--max-skipped",
    ]  # fmt: skip
    done = subprocess.run([*command, "0.3"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "2 of 6 images are broken, at most 30.00% are allowed (dataset.max_skipped)" in done.stderr
    assert subprocess.run([*command, "0.4"], cwd=ROOT, capture_output=True).returncode == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["skipped"] == {
        "train/cat/empty.jpg": "the file is empty",
        "train/cat/gone.jpg": "cannot be read: No such file or directory",
    }
    assert manifest["converted"] == {"train/dog/deep/c.png": "PNG"}
    assert manifest["counts"] == {"cat": 1, "dog": 3}
    assert {s["name"]: s["size"] for s in manifest["sources"]}["train/dog/a.jpg"] == len(
        with_segment(JPEG, 0xFE, b"a.jpg")
    )


def test_one_folder_is_split_by_share_and_seed(tmp_path: Path) -> None:
    for name, count in (("dog", 20), ("cat", 10), ("few", 2)):
        fill(tmp_path / name, *(f"{i}.jpg" for i in range(count)))
    train, val = (names(ImageFolder(tmp_path, split, 3, 0.3, 7)) for split in ("train", "val"))
    assert not set(train) & set(val) and len(train) + len(val) == 32
    assert [sum(label == k for _, label in val) for k in range(3)] == [3, 6, 1]  # cat, dog, few
    assert names(ImageFolder(tmp_path, "val", 1, 0.3, 7)) == val
    assert names(ImageFolder(tmp_path, "val", 1, 0.3, 8)) != val
    fill(tmp_path / "dog", "new.jpg")
    again = names(ImageFolder(tmp_path, "val", 1, 0.3, 7))
    assert len(set(val) - set(again)) <= 1  # at most one gives its place to the new one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: fill(root / "val" / "fox", "a.jpg"), "fox is a class that .*train does not have"),
        (lambda root: (root / "train" / "fox").mkdir(), "fox holds too few images for train"),
        (lambda root: os.rename(root, root.parent / "gone"), r"does not exist \(dataset.path\)"),
    ],
)
def test_wrong_folders_are_told(split_folder: Path, change, message: str) -> None:
    change(split_folder)
    with pytest.raises(SoftdpuError, match=message):
        [ImageFolder(split_folder, split, 1) for split in ("train", "val")]


def test_a_folder_without_classes_and_wrong_shares_are_told(tmp_path: Path) -> None:
    with pytest.raises(SoftdpuError, match="must hold one folder per class, it holds none"):
        ImageFolder(tmp_path, "train", 1)
    fill(tmp_path / "dog", "a.jpg")
    for share in (0.0, 1.0, -1):
        with pytest.raises(SoftdpuError, match="must be between 0 and 1"):
            ImageFolder(tmp_path, "train", 1, share)
    with pytest.raises(SoftdpuError, match="too few images for val"):
        ImageFolder(tmp_path, "val", 1)


def test_the_state_of_a_folder_changes_with_its_images(split_folder: Path) -> None:
    states = [state(split_folder), state(split_folder)]
    (split_folder / "val" / "cat" / "notes.txt").write_text("changed")
    states.append(state(split_folder))
    assert len(set(states)) == 1
    for change in (
        lambda: os.utime(split_folder / "val" / "cat" / "z.jpg", (1, 1)),
        lambda: (split_folder / "val" / "cat" / "z.jpg").unlink(),
        lambda: fill(split_folder / "val" / "cat", "new.webp"),
    ):
        change()
        states.append(state(split_folder))
    assert len(set(states)) == 4
    assert state(split_folder / "nothing") == state(split_folder / "train" / ".cache")


@pytest.mark.parametrize(
    "read", [tfrecord.index, lambda path: fashion_mnist.read_idx(path, 3), mask_folder._read_mask, tar.open_file]
)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SoftdpuError, match=r"pipe.*is a pipe or a device"):
        read(tmp_path / "pipe")
