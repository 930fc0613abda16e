"""app_seg.py on softdpu's own runner: a network of one convolution, whose classes are those of plain numpy."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from app_tools import check_refusal, load_app
from convolutions import expected, make_xmodel, random_conv, write_golden, write_images

SIZE, IMAGES, CLASSES = 12, 5, 4
CONVS = {"logits_fix": random_conv(CLASSES, 1, 3)}


@pytest.fixture
def card(tmp_path):
    make_xmodel(tmp_path / "mobilenet.xmodel", SIZE, CONVS)
    write_golden(tmp_path, CONVS, write_images(tmp_path, SIZE, IMAGES), ["logits_fix"])
    return tmp_path


@pytest.fixture
def run(card, monkeypatch, capsys):
    return load_app("app_seg", card, monkeypatch, capsys)


def classes_of(card):
    """Return the class of each pixel by the name of the image."""
    images = sorted((card / "images").iterdir())
    return {path.name: expected(CONVS, cv2.imread(str(path)))["logits_fix"].argmax(axis=-1) for path in images}


def write_masks(card, change=lambda mask: None):
    (card / "masks").mkdir()
    for name, mask in classes_of(card).items():
        mask = mask.astype(np.uint8)
        change(mask)
        cv2.imwrite(str(card / "masks" / name), mask)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_masks_that_are_found(card, run, threads):
    write_masks(card)
    code, out, err = run("--threads", threads, "--save", "found", "--check", "--json", "out.json")
    assert code == 0, err
    assert "Mean IoU: 1.0000, pixel accuracy: 1.0000" in out
    assert "Check: 0 differences" in out and "FPS: " in out
    for name, mask in classes_of(card).items():
        assert np.array_equal(cv2.imread(str(card / "found" / name), cv2.IMREAD_UNCHANGED), mask)
    assert json.loads((card / "out.json").read_text())["mean_iou"] == 1


def test_the_metric_is_that_of_its_definition(card, run):
    def change(mask):
        mask[:3] = (mask[:3] + 1) % CLASSES
        mask[5] = 255  # does not count

    write_masks(card, change)
    assert run("--json", "out.json")[0] == 0
    found = np.stack(list(classes_of(card).values()))
    wanted = np.stack([cv2.imread(str(card / "masks" / name), cv2.IMREAD_UNCHANGED) for name in classes_of(card)])
    counted = wanted != 255
    overlaps = []
    for kind in range(CLASSES):
        both = (found == kind) & (wanted == kind) & counted
        either = ((found == kind) | (wanted == kind)) & counted
        overlaps.append(both.sum() / either.sum())
    report = json.loads((card / "out.json").read_text())
    assert report["mean_iou"] == pytest.approx(np.mean(overlaps))
    assert report["accuracy"] == pytest.approx((found == wanted)[counted].mean())


def test_without_masks_nothing_is_measured(card, run):
    code, out, _ = run()
    assert code == 0 and "Mean IoU" not in out and "FPS: " in out


def first_mask(image):
    def spoil(card):
        write_masks(card)
        cv2.imwrite(str(card / "masks/image0.png"), image)

    return spoil


def without_a_mask(card):
    write_masks(card)
    (card / "masks/image2.png").unlink()


def with_two_outputs(card):
    make_xmodel(card / "mobilenet.xmodel", SIZE, {**CONVS, "more_fix": random_conv(2, 1, 3)})


WRONG = np.full((SIZE, SIZE), CLASSES, np.uint8)
BAD = {
    "no mask": (without_a_mask, [], "no mask masks/image2.png for the image image2.png"),
    "another class": (first_mask(WRONG), [], "has the value 4; expected 0 to 3, and 255 for none"),
    "another size": (first_mask(np.zeros((6, 8), np.uint8)), [], "is 8x6 pixels, the network's output 12x12"),
    "a colour mask": (first_mask(np.zeros((SIZE, SIZE, 3), np.uint8)), [], "expected a grey PNG of class indices"),
    "no folder": (None, ["--masks", "none"], "no mask none/image0.png"),
    "two outputs": (with_two_outputs, [], "expected a vector per pixel"),
    "no golden vectors": (lambda card: (card / "golden/golden.json").unlink(), ["--check"], "--check needs"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(card, run, name):
    check_refusal(card, run, *BAD[name])
