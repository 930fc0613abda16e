"""Writes test records: any images, or noise whose colour is the class."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from softdpu.dataset import example, tfrecord


def write_records(path: Path, images: Iterable[tuple[int, bytes]]) -> None:
    """Write one record file at `path` of (label, bytes of a PNG or JPEG file); its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        for label, data in images:
            height, width = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape[:2]
            tfrecord.append(file, example.encode(example.Record(label, height, width, 3, data)))


def write_colours(
    folder: Path, splits: dict[str, int], shape: tuple[int, int] = (32, 32), noise: int = 120, colour: int = 100
) -> None:
    """Write folder/<split>/data_0.tfrecord with so many PNGs of three classes: noise, and one brighter channel."""
    random = np.random.default_rng(0)
    for split, count in splits.items():
        files = []
        for i in range(count):
            image = random.integers(0, noise, (*shape, 3), np.uint8)
            image[:, :, i % 3] += colour
            files.append((i % 3, cv2.imencode(".png", image)[1].tobytes()))
        write_records(folder / split / "data_0.tfrecord", files)
