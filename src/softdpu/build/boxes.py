"""The config's section detection on its way to the programs of a build, and what can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.tasks import DETECTION

SUFFIX = ".py"  # of a user's decoder


def as_text(section: Mapping[str, Any]) -> str:
    """Return the section as JSON; with the SHA-256 of the user's decoder, so that an edit of it makes stages anew."""
    values = {key: value for key, value in section.items() if value is not None}
    own = Path(str(section["decoder"]))
    if own.suffix == SUFFIX and own.is_file():
        values["sha256"] = files.sha256(own)
    return json.dumps(values, sort_keys=True)


def check(config: Mapping[str, Any]) -> None:
    """See that a complete configuration's detection can be done.

    Raises:
        SoftdpuError: naming the key to change.
    """
    if config["task"] != DETECTION.name:
        return
    section, decoder = config["detection"], Path(str(config["detection"]["decoder"]))
    if config["dataset"]["fit"] == "crop":
        raise SoftdpuError(
            "config: boxes need whole images; take dataset.fit stretch or letterbox, not crop (dataset.fit)"
        )
    if decoder.suffix == SUFFIX and not decoder.is_file():
        raise SoftdpuError(f"config: the decoder {decoder} does not exist (detection.decoder)")
    if section["decoder"] == "ssd" and not section["anchors"]:
        raise SoftdpuError("config: the decoder ssd needs anchors for each grid (detection.anchors)")
    if config["model"]["file"] and config["finetune"]["epochs"]:
        raise SoftdpuError("config: a detector of your own is not fine-tuned; set finetune.epochs: 0 (finetune.epochs)")
    if not config["model"]["file"] and section["decoder"] != "yolov8":
        raise SoftdpuError(
            "config: the network trained here has the heads of yolov8; take that decoder, or name a trained"
            " network (detection.decoder, model.file)"
        )
    if not config["model"]["file"] and config["model"]["input_size"] % 32:
        raise SoftdpuError(
            f"config: the detector takes a multiple of 32 pixels, got {config['model']['input_size']}"
            " (model.input_size)"
        )
    if not config["model"]["file"] and (config["model"]["weights"] or config["model"]["freeze_base"]):
        raise SoftdpuError(
            "config: the detector is trained from scratch; leave out model.weights and model.freeze_base"
        )
