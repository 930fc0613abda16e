"""What cannot work is refused before training, what will hardly work is said, each with the key to change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from softdpu.errors import SoftdpuError
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.prospects import count_labels, foresee, say_prospects


def test_ordinary_data_give_no_warning() -> None:
    assert foresee({"a": 60, "b": 70, "c": 50}, Hyperparameters(epochs=3, batch_size=64)) == []


def test_fewer_steps_than_classes_are_refused_with_the_number_of_epochs() -> None:
    counts = {str(i): 20 for i in range(30)}
    with pytest.raises(SoftdpuError, match=r"600 images in batches of 128 make 5 steps in 1 epochs.*train\.epochs: 6"):
        foresee(counts, Hyperparameters(epochs=1, batch_size=128))
    assert foresee(counts, Hyperparameters(epochs=6, batch_size=128)) == []
    with pytest.raises(SoftdpuError, match="100 images"):
        foresee(counts, Hyperparameters(epochs=1, batch_size=10, images=100))


def test_a_class_without_an_image_is_refused() -> None:
    with pytest.raises(SoftdpuError, match="the class b has no training image; add images"):
        foresee({"a": 60, "b": 0}, Hyperparameters())


def test_small_and_uneven_classes_are_said() -> None:
    warnings = foresee({"cat": 200, "dog": 1, "cow": 150}, Hyperparameters(epochs=9))
    assert len(warnings) == 2
    assert "1 of 3 classes have fewer than 10 training images, dog has 1" in warnings[0]
    assert "model.weights: imagenet" in warnings[0]
    started = foresee({"cat": 200, "dog": 1}, Hyperparameters(epochs=9), from_weights=True)
    assert started[0].endswith("dog has 1; add images")
    assert "uneven: cat has 200 training images, dog 1" in warnings[1]


def test_labels_are_counted_with_and_without_a_manifest(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert count_labels(colours / "train", 3) == {"0": 50, "1": 50, "2": 49}
    (tmp_path / "manifest.json").write_text(json.dumps({"classes": ["x", "y"], "counts": {"x": 300, "y": 12}}))
    assert count_labels(tmp_path, 2) == {"x": 300, "y": 12}
    say_prospects(tmp_path, 2, Hyperparameters())
    assert capsys.readouterr().out.startswith("now: warning: the classes are uneven: x has 300")
