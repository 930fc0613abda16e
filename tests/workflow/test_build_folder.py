"""A build's logs lie in its own folder, and another data set takes none over without a word."""

from __future__ import annotations

from pathlib import Path

from softdpu.build.images import choose_logs, keep_source


def test_logs_follow_the_builds_folder() -> None:
    assert choose_logs({}) == choose_logs({"pathvars": {"build": "build"}}) == "logs"
    assert choose_logs({"pathvars": {"build": "build/mine"}}) == "<build>/logs"


def test_another_data_set_in_the_same_folder_is_said(tmp_path: Path) -> None:
    fashion = {"kind": "fashion_mnist", "path": None, "train_tar": None, "val_tar": None}
    folder = {**fashion, "kind": "image_folder", "path": "my images"}
    assert keep_source(tmp_path, fashion) is None
    assert keep_source(tmp_path, {**fashion, "path": "data"}) is None  # the same images from another place
    warning = keep_source(tmp_path, folder)
    assert warning is not None and "held the build of fashion_mnist" in warning
    assert "again from image_folder my images" in warning and "pathvars='{build: build/mine}'" in warning
    assert keep_source(tmp_path, folder) is None
    (tmp_path / "dataset.json").write_text("{")
    assert keep_source(tmp_path, folder) is None
