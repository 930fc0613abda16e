"""Settings as options of a program, and where a build's images come from."""

from __future__ import annotations

from typing import Any

import pytest

from softdpu.build import images
from softdpu.build.options import as_options


def test_settings_become_words() -> None:
    values = {
        "b_c": 0,
        "a": "x y",
        "flag": True,
        "off": False,
        "none": None,
        "empty": [],
        "many": [1, "2 3"],
        "section": {"inner": 0.5, "off": False},
    }
    assert as_options(values) == [
        "--a", "x y", "--b-c", "0", "--flag", "--many", "1", "2 3", "--section-inner", "0.5"
    ]  # fmt: skip


IMAGENET: dict[str, Any] = {
    "kind": "imagenet", "classes": 3, "train_tar": "t.tar", "val_tar": "v.tar", "images_per_shard": 60
}  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "split", "files", "shards", "named"),
    [
        (
            {"kind": "fashion_mnist", "val_shards": 2, "val_images": None, "jpeg_quality": 90},
            "val",
            images.FASHION_MNIST_FILES,
            2,
            {"source": "data/fashion_mnist", "images": None, "jpeg_quality": 90, "shards": 2},
        ),
        (
            {"kind": "image_folder", "train_shards": 4, "path": "p", "val_share": 0.1, "seed": 3},
            "train",
            [],
            4,
            {"source": "p", "val_share": 0.1, "seed": 3, "shards": 4},
        ),
        (IMAGENET, "train", ["t.tar"], 3, {"source": "t.tar", "classes": 3}),
        (
            IMAGENET,
            "val",
            ["v.tar", "t.tar", images.GROUND_TRUTH],
            3,
            {
                "source": "v.tar",
                "classes": 3,
                "train_source": "t.tar",
                "ground_truth": images.GROUND_TRUTH,
                "images_per_shard": 60,
            },
        ),
    ],
)
def test_where_images_come_from(
    dataset: dict[str, Any], split: str, files: list[str], shards: int, named: dict[str, Any]
) -> None:
    assert images.list_sources(dataset, "classification", split) == files
    assert images.count_shards(dataset, split) == shards
    source = {"kind": dataset["kind"], "split": split, "max_pixels": 9, **named}
    config = {"task": "classification", "dataset": {**dataset, "max_pixels": 9}}
    assert images.choose_source(config, split) == source
