"""What training asks a cluster for covers what it was measured to take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from softdpu.build import config as configuration
from softdpu.build.cluster import requests

SCHEMA = Path(__file__).resolve().parents[2] / "schemas/config.schema.yaml"


def complete(**given: Any) -> dict[str, Any]:
    configuration.complete(given, SCHEMA)
    return given


@pytest.mark.parametrize(
    ("alpha", "size", "batch", "stage", "cache", "measured"),
    [
        (1.0, 224, 16, "train", 0, 1698),
        (1.0, 224, 32, "train", 0, 2710),
        (0.5, 128, 64, "train", 0, 1264),
        (0.25, 64, 64, "train", 740, 1626),
        (1.0, 224, 8, "finetune", 0, 1256),
        (1.0, 224, 24, "finetune", 0, 1942),
        (0.25, 64, 128, "finetune", 740, 1940),
    ],
)
def test_memory_covers_what_was_measured(
    alpha: float, size: int, batch: int, stage: str, cache: int, measured: int
) -> None:
    """Peak MiB of two steps, or of the default build with its decoded images; at most 2.5 times that is asked for."""
    config = complete(model={"alpha": alpha, "input_size": size}, **{stage: {"batch_size": batch, "cache_mib": cache}})
    assert measured <= requests.estimate_memory(config, stage) <= 2.5 * measured


def test_minutes_grow_with_the_work_and_fall_with_gpus() -> None:
    default = requests.estimate_minutes(complete(), "train")
    assert 459 / 60 < default <= 60  # seconds that the default build's training took
    assert requests.estimate_minutes(complete(train={"epochs": 30}), "train") > 5 * default
    whole = complete(dataset={"kind": "imagenet", "classes": 1000, "train_tar": "t", "val_tar": "v"})
    assert requests.estimate_minutes(whole, "train") > 10 * default
    assert (
        requests.estimate_minutes({**whole, "cluster": {"gpus": 4}}, "train")
        < requests.estimate_minutes(whole, "train") / 5
    )
    frozen = complete(model={"freeze_base": True})
    assert requests.estimate_minutes(frozen, "train") < default
    assert requests.estimate_minutes(frozen, "finetune") == requests.estimate_minutes(complete(), "finetune")
