"""app_det.py on softdpu's own runner: a network of two convolutions that see the whole image, against plain numpy."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from app_tools import load_app
from convolutions import Conv, expected, make_xmodel, write_images

from softdpu.detection import decoders

SIZE, CLASSES, IMAGES = 32, ["disc", "square"], 6
HEADS = {"b_classes_fix": 2, "a_sides_fix": 64}  # in an order that is not theirs by name
POSITIONS = {"b_classes_fix": 3, "a_sides_fix": 4}


def weights(channels):
    rng = np.random.default_rng(channels)
    if channels == 64:  # distances of a part of the image
        bias = np.full(64, -30, np.int8)
        bias[::16] = 90
        return rng.integers(-128, 128, (channels, SIZE, SIZE, 3)).astype(np.int8), bias
    return rng.integers(-128, 128, (channels, SIZE, SIZE, 3)).astype(np.int8), rng.integers(-40, 40, channels).astype(
        np.int8
    )


CONVS = {name: Conv(*weights(channels), POSITIONS[name]) for name, channels in HEADS.items()}


def expected_boxes(image):
    """The boxes of uint8[SIZE, SIZE, 3], blue-green-red."""
    found = expected(CONVS, image)
    real = {name: (found[name] / 2 ** POSITIONS[name]).astype(np.float32) for name in HEADS}
    meta = {"classes": CLASSES, "input": [SIZE, SIZE], "score": 0.6}
    return decoders.find_boxes([real["a_sides_fix"], real["b_classes_fix"]], meta)


@pytest.fixture
def card(tmp_path):
    make_xmodel(tmp_path / "mobilenet.xmodel", SIZE, CONVS)
    write_images(tmp_path, SIZE, IMAGES)
    meta = {"decoder": "yolov8", "classes": CLASSES, "score": 0.6, "outputs": ["a_sides_fix", "b_classes_fix"]}
    (tmp_path / "detection.json").write_text(json.dumps(meta))
    return tmp_path


@pytest.fixture
def run(card, monkeypatch, capsys):
    """The app with arguments, in this process: its exit code and what it prints."""
    return load_app("app_det", card, monkeypatch, capsys)


def test_boxes_are_those_of_the_decoder(card, run):
    wanted = {}
    for i in range(IMAGES):
        wanted[f"image{i}.png"] = expected_boxes(cv2.imread(str(card / f"images/image{i}.png")))
    assert 0 < sum(map(len, wanted.values())) < 2 * IMAGES
    labels = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}]}
    for i, (name, boxes) in enumerate(wanted.items()):
        labels["images"].append({"id": i + 10, "file_name": name, "width": SIZE, "height": SIZE})
        for left, top, right, bottom, _, kind in decoders.to_image(
            boxes, (SIZE, SIZE), (SIZE, SIZE), "stretch"
        ).tolist():
            box = {
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
            labels["annotations"].append(
                {"id": len(labels["annotations"]) + 1, "image_id": i + 10, "category_id": int(kind) + 1, **box}
            )
    (card / "labels.json").write_text(json.dumps(labels))
    options = [
        "--threads",
        "2",
        "--labels",
        "labels.json",
        "--boxes",
        "b.json",
        "--json",
        "out.json",
        "--draw",
        "drawn",
    ]
    code, out, err = run(*options)
    assert code == 0, err
    assert "mAP50: 1.0000, mAP50-95: 1.0000" in out and "FPS: " in out
    report = json.loads((card / "out.json").read_text())
    assert report["map50"] == pytest.approx(1) and report["images"] == IMAGES
    rows = json.loads((card / "b.json").read_text())
    assert len(rows) == sum(map(len, wanted.values()))
    for row in rows:
        left, top, width, height = row["bbox"]
        boxes = decoders.to_image(wanted[row["file_name"]], (SIZE, SIZE), (SIZE, SIZE), "stretch")
        assert row["image_id"] == int(row["file_name"][5]) + 10
        assert any(
            np.allclose([left, top, left + width, top + height, row["score"], row["category_id"] - 1], box, atol=1e-4)
            for box in boxes
        )
    assert len(list((card / "drawn").iterdir())) == IMAGES

    # an image of another size: the boxes are in its pixels
    large = cv2.resize(
        cv2.imread(str(card / "images/image0.png")), (SIZE * 3, SIZE * 2), interpolation=cv2.INTER_NEAREST
    )
    shutil.rmtree(card / "images")
    (card / "images").mkdir()
    cv2.imwrite(str(card / "images/large.png"), large)
    assert run("--boxes", "b.json")[0] == 0
    for row in json.loads((card / "b.json").read_text()):
        assert row["bbox"][0] + row["bbox"][2] <= SIZE * 3 and row["bbox"][1] + row["bbox"][3] <= SIZE * 2


def write(name, text):
    return lambda card: (card / name).write_text(text)


BAD = {
    "no settings": (lambda card: (card / "detection.json").unlink(), [], "classes must be the names of the classes"),
    "another decoder": (write("detection.json", '{"classes": ["a"], "decoder": "yolov3"}'), [], "yolov8, ssd, or"),
    "other classes": (
        write("detection.json", '{"classes": ["a"], "decoder": "yolov8"}'),
        [],
        "64 and 1, for 1 classes",
    ),
    "wrong types": (write("detection.json", '{"classes": ["a", "b"], "score": "x"}'), [], "score must be int or float"),
    "wrong anchors": (write("detection.json", '{"classes": ["a"], "anchors": [5]}'), [], "anchors must be sizes and"),
    "crop": (write("preprocess.json", '{"fit": "crop"}'), [], "fit stretch or letterbox"),
    "no labels": (None, ["--labels", "none.json"], "none.json holds no annotations"),
    "wrong labels": (write("l.json", "{"), ["--labels", "l.json"], "l.json is no JSON object"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_of_the_detector_is_one_line(card, run, name):
    spoil, arguments, message = BAD[name]
    if spoil:
        spoil(card)
    if name == "crop":
        cv2.imwrite(str(card / "images/image0.png"), np.zeros((40, 50, 3), np.uint8))
    code, _, err = run(*arguments)
    assert code == 1 and message in err, err
    assert err.startswith("error: ") and err.count("\n") == 1
