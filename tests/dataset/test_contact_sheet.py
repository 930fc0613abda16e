from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_tools import write_ours

from softdpu.dataset import example
from softdpu.dataset.contact_sheet import draw_sheet
from softdpu.dataset.images import encode_jpeg
from softdpu.errors import SoftdpuError

COLOURS = ((255, 0, 0), (0, 200, 0), (0, 0, 255))  # red, green, blue


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    records = []
    for i in range(9):
        label = 2 if i > 6 else i % 2
        image = np.full((30 + 10 * i, 50, 3), COLOURS[label][::-1], np.uint8)
        records.append(example.Record(label, *image.shape, encode_jpeg(image)))
    write_ours(tmp_path / "data_0.tfrecord", records)
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    return tmp_path


def test_the_sheet_shows_every_class_in_its_row(folder: Path) -> None:
    line = draw_sheet(folder, folder / "sheet.png", images=3)
    assert line.endswith("sheet.png: 9 images of 3 classes, 2 to 4 a class")
    sheet = cv2.imread(str(folder / "sheet.png")).astype(int)
    rows = []
    for colour in COLOURS:
        distance = np.abs(sheet[:, :, ::-1] - colour).max(axis=2)
        assert (distance < 40).sum() > 2000
        rows.append(np.argwhere(distance < 40)[:, 0].mean())
    assert rows == sorted(rows)
    draw_sheet(folder, folder / "again.png", images=3)
    assert (folder / "again.png").read_bytes() == (folder / "sheet.png").read_bytes()


def test_records_without_names_and_wrong_ones(folder: Path) -> None:
    (folder / "labels.txt").unlink()
    assert "9 images of 3 classes" in draw_sheet(folder, folder / "sheet.png")
    write_ours(folder / "data_0.tfrecord", [example.Record(0, 5, 5, 3, b"no image")])
    with pytest.raises(SoftdpuError, match=r"data_0.tfrecord, the record at byte 12: not an image"):
        draw_sheet(folder, folder / "other.png")
    assert not (folder / "other.png").exists()
    write_ours(folder / "data_0.tfrecord", [])
    with pytest.raises(SoftdpuError, match="hold no image"):
        draw_sheet(folder, folder / "other.png")
