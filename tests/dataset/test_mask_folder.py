"""Images and masks in folders: records, classes, and every mistake in one line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from softdpu.dataset import drawn_shapes, example, make, mask_folder, masks, tfrecord
from softdpu.dataset.pipeline import Augmentation, Batches
from softdpu.errors import SoftdpuError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    drawn_shapes.draw("segmentation", tmp_path / "shapes", 6, 3, size=72)
    return tmp_path / "shapes"


def write(folder: Path, output: Path, **more: object) -> None:
    make.make(make.Choice("mask_folder", str(folder), "train", **more), output)  # type: ignore[arg-type]


def test_records_hold_the_masks(folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path / "out")
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["classes"] == ["ground", "disc", "square", "triangle"]
    assert manifest["images"] == 6 and manifest["counts"]["ground"] == 6
    path = tmp_path / "out/data_0.tfrecord"
    with open(path, "rb") as file:
        records = [example.decode(tfrecord.read(file.fileno(), entry)) for entry in tfrecord.index(path)]
    for i, record in enumerate(records):
        expected = cv2.imread(str(folder / f"train/masks/{i:05}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(masks.decode(record.target), expected)


def test_batches_hand_masks_on_and_flip_them_with_their_images(folder: Path, tmp_path: Path) -> None:
    write(folder, tmp_path / "out")
    plain = Batches(tmp_path / "out", 72, 6, targets=masks.Masks(36, 36, 4))
    flipped = Batches(tmp_path / "out", 72, 6, targets=masks.Masks(36, 36, 4), augmentation=Augmentation(flip=True))
    (images, wanted), (turned, found) = plain[0], flipped[0]
    assert wanted.shape == (6, 36, 36) and wanted.dtype == np.uint8
    kinds = set()
    for i in range(6):
        is_flipped = np.array_equal(turned[i], images[i, :, ::-1])
        assert is_flipped or np.array_equal(turned[i], images[i])
        np.testing.assert_array_equal(found[i], wanted[i, :, ::-1] if is_flipped else wanted[i])
        kinds.add(is_flipped)
    assert kinds == {True, False}
    with pytest.raises(SoftdpuError, match="the mask has the class 3, the model has 0 to 2"):
        Batches(tmp_path / "out", 72, 6, targets=masks.Masks(36, 36, 3))


def test_a_palette_counts_by_its_indices_and_255_is_no_class(folder: Path, tmp_path: Path) -> None:
    (folder / "classes.txt").unlink()
    mask = Image.fromarray(np.full((72, 72), 2, np.uint8), mode="P")
    mask.putpalette([200, 10, 10] * 256)
    mask.save(folder / "train/masks/00000.png")
    cv2.imwrite(str(folder / "train/masks/00001.png"), np.full((72, 72), 255, np.uint8))
    source = mask_folder.MaskFolder(folder, "train", 1, 0.2, 1)
    raws = list(source.read(0))
    assert (raws[0].present, raws[1].present) == ((2,), ())
    assert source.classes == ["class 0", "class 1", "class 2", "class 3"]


def spoil(folder: Path, what: str) -> None:
    place = folder / "train/masks/00002.png"
    if what == "missing":
        place.unlink()
    elif what == "values":
        cv2.imwrite(str(place), np.full((72, 72), 9, np.uint8))
    elif what == "size":
        cv2.imwrite(str(place), np.zeros((10, 12), np.uint8))
    elif what == "colour":
        cv2.imwrite(str(place), np.zeros((72, 72, 3), np.uint8))
    elif what == "text":
        place.write_text("no image")
    else:
        (folder / "train/masks").rename(folder / "train/labels")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"00002.png has no mask .*masks/00002.png; add it"),
        ("values", r"masks/00002.png has the values 9; expected the classes 0 to 3, and 255"),
        ("size", r"masks/00002.png is 12x10 pixels, its image .* is 72x72"),
        ("colour", r"masks/00002.png is a colour image \(RGB\); expected a mask"),
        ("text", r"masks/00002.png cannot be read as a mask"),
        ("folder", r"train holds no folder masks; task segmentation takes images/ and masks/"),
    ],
)
def test_mistakes_are_one_line(folder: Path, tmp_path: Path, what: str, message: str) -> None:
    spoil(folder, what)
    with pytest.raises(SoftdpuError, match=message) as caught:
        write(folder, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out/data_0.tfrecord").exists()
