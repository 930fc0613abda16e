"""Folders of images with boxes, as YOLO's and COCO's tools lay them out."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from softdpu.dataset import drawn_shapes
from softdpu.dataset.box_folder import BoxFolder
from softdpu.dataset.box_labels import as_boxes, pack, read_yolo, unpack
from softdpu.dataset.make import Choice, make
from softdpu.dataset.pipeline import read_records
from softdpu.errors import SoftdpuError


@pytest.fixture
def drawn(tmp_path):
    drawn_shapes.draw("detection", tmp_path / "shapes", train=6, val=3, size=64)
    return tmp_path / "shapes"


def boxes_of(source):
    return [(raw.name, unpack(raw.target, 9)) for shard in range(source.shards) for raw in source.read(shard)]


def test_records_hold_the_boxes_of_the_label_files(drawn, tmp_path):
    make(Choice("box_folder", str(drawn), "train", shards=2), tmp_path / "records")
    records = list(read_records(tmp_path / "records"))
    assert len(records) == 6
    for i, record in enumerate(records):
        boxes, expected = unpack(record.target, 3), read_yolo(drawn / f"labels/train/{i:05}.txt", 3)
        assert all(np.array_equal(one, other) for one, other in zip(boxes, expected, strict=True))
        image = cv2.imdecode(np.frombuffer(record.image, np.uint8), cv2.IMREAD_COLOR)
        ground = np.median(image.reshape(-1, 3), axis=0)
        for left, top, right, bottom in (boxes.corners * 64).round().astype(int):
            assert (abs(image[top:bottom, left:right] - ground).sum(axis=2) > 90).sum() > 20  # a shape is there
    manifest = json.loads((tmp_path / "records/manifest.json").read_text())
    assert manifest["images"] == 6 and sum(manifest["counts"].values()) == sum(
        len(unpack(r.target, 3).classes) for r in records
    )
    assert (tmp_path / "records/labels.txt").read_text().split() == list(drawn_shapes.CLASSES)


def test_the_layouts_give_the_same(drawn, tmp_path):
    expected = [boxes for _, boxes in boxes_of(BoxFolder(drawn, "val", 1))]
    other = tmp_path / "other"
    (other / "valid").mkdir(parents=True)
    (drawn / "images/val").rename(other / "valid/images")
    (drawn / "labels/val").rename(other / "valid/labels")
    (other / "data.yaml").write_text("nc: 3\nnames: [disc, square, triangle]\n")
    found = [boxes for _, boxes in boxes_of(BoxFolder(other, "val", 2))]
    assert [list(map(np.ndarray.tolist, one)) for one in found] == [
        list(map(np.ndarray.tolist, one)) for one in expected
    ]
    (other / "data.yaml").write_text("names: {0: a, 1: b, 2: c}\n")
    assert BoxFolder(other, "val", 1).classes == ["a", "b", "c"]

    coco = {"images": [], "annotations": [], "categories": [{"id": i + 1, "name": str(i)} for i in range(3)]}
    for i, boxes in enumerate(expected):
        coco["images"].append({"id": i, "file_name": f"{i:05}.png", "width": 64, "height": 64})
        for (left, top, right, bottom), kind in zip(boxes.corners.astype(float) * 64, boxes.classes, strict=True):
            box = {"image_id": i, "category_id": int(kind) + 1, "bbox": [left, top, right - left, bottom - top]}
            coco["annotations"].append(box)
    third = tmp_path / "third"
    (third / "annotations").mkdir(parents=True)
    (third / "annotations/instances_val2017.json").write_text(json.dumps(coco))
    (other / "valid/images").rename(third / "val2017")
    source = BoxFolder(third, "val", 1)
    assert source.classes == ["0", "1", "2"]
    for (_, one), boxes in zip(boxes_of(source), expected, strict=True):
        np.testing.assert_allclose(one.corners, boxes.corners, atol=1e-6)
        assert one.classes.tolist() == boxes.classes.tolist()
    (third / "val2017/00001.png").unlink()
    with pytest.raises(SoftdpuError, match=r"instances_val2017.json names the image 00001.png, which is in none of"):
        BoxFolder(third, "val", 1)


def write(name, text):
    return lambda root: (root / name).write_text(text)


SPOILT = [
    (lambda root: (root / "labels/train/00002.txt").unlink(), "00002.txt is missing: each image needs a label file"),
    (write("labels/train/00002.txt", "3 .5 .5 .1 .1"), "00002.txt, line 1: the class must be 0 to 2"),
    (lambda root: (root / "classes.txt").unlink(), "needs classes.txt, the name of a class in each line, or data.yaml"),
    (write("classes.txt", "\n"), "names no classes"),
    (lambda root: (root / "images/train").rename(root / "t"), "no train images with boxes: expected images/train"),
    (lambda root: [path.unlink() for path in (root / "images/train").iterdir()], "images/train holds no images"),
    (write("train.json", "[]"), "expected a COCO json, an object, got list"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
def test_what_is_wrong_is_one_line(drawn, spoil, message):
    spoil(drawn)
    with pytest.raises(SoftdpuError, match=message) as caught:
        BoxFolder(drawn, "train", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["names: 5", "nc: 3", "names: {a: 1}", "[", "names: [1, 2]", "!!python/object/apply:os.getcwd []"]
)
def test_a_wrong_yaml_is_one_line(drawn, text):
    (drawn / "classes.txt").unlink()
    (drawn / "data.yaml").write_text(text)
    with pytest.raises(
        SoftdpuError, match=r"data.yaml: expected names, a list of the classes .*; or write classes.txt"
    ):
        BoxFolder(drawn, "train", 1)


def test_records_of_others_are_checked():
    good = pack(as_boxes([(0.1, 0.2, 0.3, 0.4, 1, False)]))
    assert unpack(good, 2).classes.tolist() == [1] and len(unpack(b"", 2).classes) == 0
    for data, message in [
        (good[:-1], "boxes of 6 numbers, got 23 bytes"),
        (np.array([0.1, 0.2, np.nan, 0.4, 0, 0], "<f4").tobytes(), "do not lie in the image"),
        (np.array([0.5, 0.2, 0.3, 0.4, 0, 0], "<f4").tobytes(), "do not lie in the image"),
        (good + good, "a box has class 1, there are 1 classes"),
    ]:
        with pytest.raises(ValueError, match=message):
            unpack(data, 1)


@pytest.mark.parametrize("task", drawn_shapes.TASKS)
def test_equal_seeds_draw_equal_files(tmp_path, task):
    drawn_shapes.draw(task, tmp_path / "b", train=4, val=3, size=64)  # the smaller set takes its place
    for name in ("a", "b"):
        drawn_shapes.draw(task, tmp_path / name, train=2, val=1, size=64)
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("a", "b")]
    assert files[0] == files[1] and len(files[0]) == 7
