"""What the long jobs ask a cluster for: memory and time, estimated from the configuration.

The constants are measured: peak memory of training steps of MobileNet v1 at several widths, sizes and batches, and the
benchmark files of the default build on two cores. A job that an estimate was too small for is tried again with more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from softdpu.own_model import height_and_width

# MiB that one image of a batch takes while MobileNet v1 1.0 learns at 224x224; fine-tuning took 45.
_MIB_AN_IMAGE = 65
# MiB of Python, TensorFlow and the input pipeline before the first step.
_MIB_AT_LEAST = 1400
# Images per second that one core trains of the default network (alpha 0.25 at 64x64), half of what was measured.
_IMAGES_A_SECOND = 100
_GPU = 50  # cores that a GPU stands for
_MINUTES_AT_LEAST = 15
_IMAGES = {
    "imagenet": 1300,
    "fashion_mnist": 60000,
    "image_folder": 60000,
    "arrays": 60000,
    "shapes": 3000,
}  # imagenet: of one class


def estimate_memory(config: Mapping[str, Any], stage: str) -> int:
    """Return the MiB that training a stage, train or finetune, needs."""
    model, recipe = config["model"], config[stage]
    share = model["alpha"] * _read_pixels(model) / 224**2
    batch = math.ceil(_MIB_AN_IMAGE * share * recipe["batch_size"])
    return int(_MIB_AT_LEAST + recipe["cache_mib"] + batch)


def estimate_minutes(config: Mapping[str, Any], stage: str) -> int:
    """Return the minutes that training a stage, train or finetune, needs on the CPU cores or GPUs that it asks for."""
    model, recipe = config["model"], config[stage]
    work = (model["alpha"] / 0.25) ** 1.5 * _read_pixels(model) / 64**2
    if stage == "train" and model["freeze_base"]:
        work /= 3  # no gradients
    speed = _IMAGES_A_SECOND * max(config["train"]["threads"], _GPU * config["cluster"]["gpus"])
    seconds = (recipe["images"] or _count_images(config["dataset"])) * recipe["epochs"] * work / speed
    return int(_MINUTES_AT_LEAST + math.ceil(seconds / 60))


def _read_pixels(model: Mapping[str, Any]) -> int:
    height, width = height_and_width(model["input_size"])
    return height * width


def _count_images(dataset: Mapping[str, Any]) -> int:
    known = _IMAGES[dataset["kind"]]
    if dataset["kind"] == "imagenet":
        return known * int(dataset["classes"])
    return int(dataset["train_images"] or known) if dataset["kind"] in ("fashion_mnist", "shapes") else known
