"""Label files with boxes: what is read, and each mistake as one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from softdpu.dataset.box_labels import read_coco, read_yolo
from softdpu.errors import SoftdpuError


def test_yolo_files_are_boxes(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\ufeff0 0.5 0.5 1.0005 0.2\r\n\n 2\t0.25 0.75 0.5 0.5 \n", encoding="utf-8")
    boxes = read_yolo(path, 3)
    np.testing.assert_allclose(boxes.corners, [[0, 0.4, 1, 0.6], [0, 0.5, 0.5, 1]], atol=1e-6)
    assert boxes.classes.tolist() == [0, 2] and not boxes.crowds.any()
    path.write_text("")
    assert read_yolo(path, 3).corners.shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.2", "line 1: expected 5 numbers, class x y width height, got 4$"),
        ("0 0.5 0.5 0.2 0.2 0.9", "got 6$"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "got 7; it seems to be a polygon$"),
        ("0 0.5 0.5 0.1 0.1\n3 0.5 0.5 0.2 0.2", "line 2: the class must be 0 to 2, got 3$"),
        ("-1 0.5 0.5 0.2 0.2", "the class must be 0 to 2, got -1$"),
        ("0.0 0.5 0.5 0.2 0.2", "the class must be 0 to 2, got 0.0$"),
        ("\u0665 0.5 0.5 0.2 0.2", "the class must be 0 to 2"),
        ("9" * 5000 + " 0.5 0.5 0.2 0.2", "the class must be 0 to 2"),
        ("0 nan 0.5 0.2 0.2", "expected a number, got nan$"),
        ("0 0.5 inf 0.2 0.2", "expected a number, got inf$"),
        ("0 0.5 0.5 x\x1b[2J 0.2", r"expected a number, got x\\x1b\[2J$"),
        ("0 0.95 0.5 0.2 0.2", "outside the image: left, top, right, bottom are 0.8500, 0.4000, 1.0500, 0.6000 of it$"),
        ("0 50 50 20 20", "outside the image"),
        ("0 0.5 0.5 0 0.2", "has no area: width 0, height 0.2$"),
        ("0 0.5 0.5 -0.2 0.2", "has no area"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SoftdpuError, match=message) as caught:
        read_yolo(path, 3)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_missing_and_hostile_label_files(tmp_path):
    with pytest.raises(SoftdpuError, match=r"a\.txt is missing: each image needs a label file, an empty one if"):
        read_yolo(tmp_path / "a.txt", 3)
    big = tmp_path / "big.txt"
    with open(big, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SoftdpuError, match="more than 1048576 bytes"):
        read_yolo(big, 3)
    big.write_text("0 .5 .5 .1 .1\n" * 10001)
    with pytest.raises(SoftdpuError, match="10001 boxes, at most 10000"):
        read_yolo(big, 3)
    big.write_bytes(b"\xff\xfe0\x00 ")
    with pytest.raises(SoftdpuError, match="line 1"):
        read_yolo(big, 3)


def coco(**changes):
    good = {
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 200, "height": 100},
            {"id": 3, "file_name": "sub/a.jpg", "width": 50, "height": 50},
        ],
        "categories": [{"id": 9, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 9, "bbox": [20, 10, 100, 50.5], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0, 0, 200.5, 100], "iscrowd": 1},
        ],
    }
    return {**good, **changes}


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def test_coco_files_are_boxes(tmp_path):
    found = read_coco(write(tmp_path / "c.json", coco()))
    assert found.classes == ["dog", "cat"]
    assert [image.name for image in found.images] == ["b.jpg", "sub/a.jpg"]
    boxes = found.images[0].boxes
    np.testing.assert_allclose(boxes.corners, [[0.1, 0.1, 0.6, 0.605], [0, 0, 1, 1]], atol=1e-6)
    assert boxes.classes.tolist() == [1, 0] and boxes.crowds.tolist() == [False, True]
    assert len(found.images[1].boxes.classes) == 0


def annotation(**changes):
    return {"annotations": [{"id": 5, "image_id": 7, "category_id": 9, "bbox": [0, 0, 9, 9], **changes}]}


IMAGE = {"id": 1, "file_name": "a.jpg", "width": 9, "height": 9}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "whose images is a list of objects"),
        ({"annotations": [1]}, "whose annotations is a list of objects"),
        ({"categories": {}}, "whose categories is a list of objects"),
        ({"categories": []}, "there must be one at least"),
        ({"categories": [{"id": 1, "name": "a"}] * 2}, "need ids that differ"),
        ({"categories": [{"id": 1, "name": 5}]}, "name must be str, got 5"),
        ({"images": [IMAGE] * 2}, "two images have the id 1"),
        ({"images": [IMAGE, {**IMAGE, "id": 2}]}, "the file a.jpg stands there as two images"),
        ({"images": [{**IMAGE, "file_name": "../../etc/passwd"}]}, "a path below the folder of images"),
        ({"images": [{**IMAGE, "file_name": "/etc/passwd"}]}, "a path below the folder of images"),
        ({"images": [{**IMAGE, "file_name": "a\nb"}]}, "a path below the folder of images"),
        ({"images": [{**IMAGE, "width": 0}]}, "height and width must be pixels, got 9 and 0"),
        ({"images": [{**IMAGE, "width": True}]}, "width must be int, got True"),
        (annotation(image_id=8), "annotation 5: there is no image 8"),
        (annotation(category_id=1), "annotation 5: there is no category 1"),
        (annotation(bbox=[1, 2, 3]), r"annotation 5: bbox must be 4 numbers.*got \[1, 2, 3\]"),
        (annotation(bbox=[1, 2, 3, "4"]), "bbox must be 4 numbers"),
        (annotation(bbox=[1, 2, 3, float("nan")]), "bbox must be 4 numbers"),
        (annotation(bbox=[150, 0, 60, 10]), "annotation 5: the box lies outside the image"),
        (annotation(bbox=[10, 10, 0, 10]), "annotation 5: the box has no area"),
    ],
)
def test_a_wrong_coco_file_is_one_line(tmp_path, changes, message):
    path = write(tmp_path / "c.json", coco(**changes))
    with pytest.raises(SoftdpuError, match=message) as caught:
        read_coco(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100000, b"[]", b"3"])
def test_json_of_another_shape(tmp_path, data):
    path = tmp_path / "c.json"
    path.write_bytes(data)
    with pytest.raises(SoftdpuError, match="expected a COCO json"):
        read_coco(path)
    with pytest.raises(SoftdpuError, match="no such file"):
        read_coco(tmp_path / "none.json")
