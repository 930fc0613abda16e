"""A card folder, and the app in this process."""

from __future__ import annotations

import hashlib
import json
import sys

import cv2
import numpy as np
import pytest
from app_tools import APP, CHECKING, FAKES, HELPER, RUNNERS, load, write_model


@pytest.fixture
def fakes(monkeypatch):
    """The stand-ins as `xir`, `vart` and `vitis_ai_library`, in this process."""
    xir = load("fake_xir", FAKES / "xir.py")
    monkeypatch.setitem(sys.modules, "xir", xir)
    vart = load("fake_vart", FAKES / "vart.py")
    monkeypatch.setitem(sys.modules, "vart", vart)
    library = load("fake_vitis_ai_library", FAKES / "vitis_ai_library.py")
    monkeypatch.setitem(sys.modules, "vitis_ai_library", library)
    return vart


@pytest.fixture
def helper(fakes, monkeypatch):
    """card.py, which the app imports, on checking.py and runners.py."""
    monkeypatch.setitem(sys.modules, "runners", load("runners_under_test", RUNNERS))
    monkeypatch.setitem(sys.modules, "checking", load("checking_under_test", CHECKING))
    module = load("card_under_test", HELPER)
    monkeypatch.setitem(sys.modules, "card", module)
    return module


@pytest.fixture
def app(helper):
    return load("app_mt_under_test", APP)


@pytest.fixture
def card(tmp_path, monkeypatch):
    """A card folder with 20 images, as the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(1)
    for i in range(20):
        cv2.imwrite(f"images/{i % 10}_image{i}.png", rng.integers(0, 256, (12, 12, 3), np.uint8))
    write_model(tmp_path)
    return tmp_path


@pytest.fixture
def golden(card, fakes, helper):
    """golden/ for the card's model: two images and one vector without an image."""
    folder = card / "golden"
    folder.mkdir()
    vectors = []
    tensor = sys.modules["xir"].Tensor("quant_input_1", [1, 12, 12, 3], 6)
    for i, image in enumerate(["images/0_image0.png", "images/1_image1.png", None]):
        source = np.random.default_rng(i).integers(-128, 128, (12, 12, 3), np.int8)
        if image:
            helper.Preprocess(tensor, {})(image, source)
        source.tofile(folder / f"input_{i}.bin")
        fakes.logits(source, 10).tofile(folder / f"output_{i}.bin")
        vectors.append({"image": image, "input": f"input_{i}.bin", "expected": f"output_{i}.bin"})
    digest = hashlib.sha256((card / "mobilenet.xmodel").read_bytes()).hexdigest()
    text = {"model_sha256": digest, "input": [12, 12, 3], "output": [10], "vectors": vectors}
    (folder / "golden.json").write_text(json.dumps(text))
    return folder
