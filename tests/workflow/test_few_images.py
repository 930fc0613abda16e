"""A first try with a few images."""

from __future__ import annotations

import pytest
from workflow_tools import ROOT

from softdpu.build import config as configuration
from softdpu.errors import SoftdpuError


@pytest.mark.parametrize("key", ["train_images", "val_images"])
@pytest.mark.parametrize("images", [10, 40, 99, 127, None])
def test_few_images_are_a_configuration(key: str, images: int | None) -> None:
    values = {"dataset": {key: images}}
    configuration.complete(values, ROOT / "schemas" / "config.schema.yaml")
    assert values["dataset"][key] == images


@pytest.mark.parametrize("images", [-1, 0, 9, 10.5, "many"])
def test_too_few_images_are_told(images: object) -> None:
    with pytest.raises(SoftdpuError, match=r"dataset\.train_images: expected"):
        configuration.complete({"dataset": {"train_images": images}}, ROOT / "schemas" / "config.schema.yaml")
