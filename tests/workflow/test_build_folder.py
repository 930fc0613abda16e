"""A build's logs lie in its own folder, and another data set does not replace its records."""

from __future__ import annotations

from pathlib import Path

import pytest

from softdpu.build.images import choose_logs, claim_folder
from softdpu.errors import SoftdpuError


def test_logs_follow_the_builds_folder() -> None:
    assert choose_logs({}) == choose_logs({"pathvars": {"build": "build"}}) == "logs"
    assert choose_logs({"pathvars": {"build": "build/mine"}}) == "<build>/logs"


def test_another_data_set_does_not_replace_the_records_of_a_build(tmp_path: Path) -> None:
    fashion = {"kind": "fashion_mnist", "path": None, "train_tar": None, "val_tar": None}
    folder = {**fashion, "kind": "image_folder", "path": "my images"}
    claim_folder(tmp_path, fashion)
    claim_folder(tmp_path, {**fashion, "path": "data"})  # the same images from another place
    with pytest.raises(SoftdpuError, match="holds the build of fashion_mnist, and this one is of image_folder my"):
        claim_folder(tmp_path, folder)
    with pytest.raises(SoftdpuError, match=r"pathvars='\{build: .*/mine\}', or delete .*dataset\.json"):
        claim_folder(tmp_path, folder)  # it is still the first one's
    (tmp_path / "dataset.json").unlink()
    claim_folder(tmp_path, folder)
    (tmp_path / "dataset.json").write_text("{")
    claim_folder(tmp_path, folder)
