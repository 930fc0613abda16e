"""app_raw.py on softdpu's own runner: a network of two outputs, whose numbers are those of plain numpy."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from app_tools import check_refusal, load_app
from convolutions import expected, make_xmodel, random_conv, write_golden, write_images

SIZE, IMAGES = 16, 7
CONVS = {"map_fix": random_conv(5, 3, 3, 1), "scores_fix": random_conv(4, SIZE, 2, 2)}


@pytest.fixture
def card(tmp_path):
    make_xmodel(tmp_path / "mobilenet.xmodel", SIZE, CONVS)
    images = write_images(tmp_path, SIZE, IMAGES)
    write_golden(tmp_path, CONVS, images, ["scores_fix", "map_fix"])  # by name, in an order of its own
    return tmp_path


@pytest.fixture
def run(card, monkeypatch, capsys):
    return load_app("app_raw", card, monkeypatch, capsys)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_outputs_of_all_images(card, run, threads):
    code, out, err = run("--threads", threads, "--outputs", "found.npz", "--json", "out.json", "--check")
    assert code == 0, err
    assert "Check: 0 differences" in out and "FPS: " in out
    report = json.loads((card / "out.json").read_text())
    assert report["images"] == IMAGES and report["threads"] == int(threads)
    assert report["check"]["faults"] == []
    with np.load(card / "found.npz") as found:
        assert found["images"].tolist() == [f"image{number}.png" for number in range(IMAGES)]
        for place, name in enumerate(found["outputs"].tolist()):
            conv = CONVS[name]
            wanted = [expected(CONVS, cv2.imread(str(card / "images" / image)))[name] for image in found["images"]]
            assert np.array_equal(found[f"output_{place}"].reshape(np.shape(wanted)), wanted)
            assert found["steps"][place] == 2.0**-conv.position
            entry = next(one for one in report["outputs"] if one["name"] == name)
            assert entry["least"] == np.min(wanted) * 2.0**-conv.position
            assert entry["most"] == np.max(wanted) * 2.0**-conv.position
            assert f"Output {name}: " in out


def test_a_wrong_number_is_the_boards_fault(card, run):
    path = card / "golden/image2.png.out"
    data = bytearray(path.read_bytes())
    data[7] ^= 4
    path.write_bytes(data)
    code, out, _ = run("--check")
    # one number, in each place of the batch of 4
    assert "Check outputs: 7 vectors, 4 differences" in out and "at fault: board" in out
    assert code == 1


BAD = {
    "no model": (lambda card: (card / "mobilenet.xmodel").unlink(), [], "mobilenet.xmodel"),
    "no images": (lambda card: [one.unlink() for one in (card / "images").iterdir()], [], "no images in images"),
    "no picture": (lambda card: (card / "images/image3.png").write_bytes(b"text"), [], "image3.png"),
    "half a model": (
        lambda card: (card / "mobilenet.xmodel").write_bytes((card / "mobilenet.xmodel").read_bytes()[:99]),
        [],
        "mobilenet.xmodel",
    ),
    "no golden vectors": (lambda card: (card / "golden/golden.json").unlink(), ["--check"], "--check needs"),
    "no folder for outputs": (None, ["--outputs", "none/found.npz"], "none/found.npz"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(card, run, name):
    check_refusal(card, run, *BAD[name])
