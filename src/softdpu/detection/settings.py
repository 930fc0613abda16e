"""How outputs become boxes, as the config's section detection says it; what goes on the card of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Sequence  # noqa: UP035 - Python 3.7 of AMD's containers

from softdpu.detection.decoders import DECODERS, DEFAULTS, Decoder, check_meta, load_decoder
from softdpu.errors import SoftdpuError

OWN = "own_decoder.py"  # the user's file on the card


@dataclass(frozen=True)
class Settings:
    """Decoder, thresholds and anchors.

    Attributes:
        classes: names of the classes.
        values: keys of decoders.DEFAULTS with other values than there.
        fit: how an image becomes the input.
        decode: the decoder.
    """

    classes: Sequence[str]
    values: dict[str, Any]
    fit: str
    decode: Decoder

    @property
    def show(self) -> float:
        """Return the score above which a box is drawn."""
        return float({**DEFAULTS, **self.values}["show"])

    def meta(self) -> dict[str, Any]:
        """Return what a decoder is handed but for the size of the input."""
        return {**self.values, "classes": list(self.classes)}


def read(text: str, classes: Sequence[str], fit: str) -> Settings:
    """Return settings from JSON, as the build hands them to its programs.

    Raises:
        SoftdpuError: if it is no object with keys of decoders.DEFAULTS, or there is no such decoder, or no class.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict):
        values.pop("sha256", None)  # of the user's decoder: the build hands it over so that an edit makes stages anew
    if not isinstance(values, dict) or not set(values) <= set(DEFAULTS):
        raise SoftdpuError(f"--detection must be a JSON object with keys of {', '.join(DEFAULTS)}, got {text[:80]}")
    if not classes:
        raise SoftdpuError("the records have no labels.txt with classes; make them with boxes (task: detection)")
    if fit == "crop":
        raise SoftdpuError("boxes need images that are whole: fit stretch or letterbox, not crop (dataset.fit)")
    try:
        check_meta({**values, "classes": list(classes)})
        decode = load_decoder(str(values.get("decoder", DEFAULTS["decoder"])))
    except ValueError as error:
        raise SoftdpuError(f"{error} (detection.decoder)") from None
    return Settings(list(classes), values, fit, decode)


def own_file(settings: Settings) -> str:
    """Return the path of the user's decoder, "" for one of softdpu's."""
    name = str(settings.values.get("decoder", DEFAULTS["decoder"]))
    return "" if name in DECODERS else name


def for_card(settings: Settings) -> dict[str, Any]:
    """Return what detection.json of a card holds; a decoder of the user's lies there as OWN."""
    meta = {**DEFAULTS, **settings.meta()}
    return {**meta, "decoder": OWN} if own_file(settings) else meta
