"""Accuracy of an exported file on record files, the images made as for the network that was trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import Batches
from softdpu.errors import SoftdpuError
from softdpu.export.run import open_runner

BATCH = 50


def measure(
    path: Path,
    records: Path,
    fit: str = preprocess.STRETCH,
    scaling: preprocess.Scaling = preprocess.TF,
    images: int | None = None,
    threads: int = 1,
) -> dict[str, Any]:
    """Return the accuracy (0..1) of a classifier, the number of images and the seconds that it computed.

    Raises:
        SoftdpuError: the file cannot be run, does not take one square image, or the records are missing.
    """
    runner = open_runner(path)
    if len(runner.shapes) != 1 or len(runner.shapes[0]) != 3 or runner.shapes[0][0] != runner.shapes[0][1]:
        raise SoftdpuError(f"{path} must take one square image to be measured on records, it takes {runner.shapes}")
    batches = Batches(
        records, int(runner.shapes[0][0]), BATCH, fit, images=images, threads=threads, scaling=scaling, cache_mib=0
    )
    right, total, seconds = 0, 0, 0.0
    for index in range(len(batches)):
        pixels, labels = batches[index]
        start = time.perf_counter()
        scores = runner.run([pixels])[0]
        seconds += time.perf_counter() - start
        right += int((scores.reshape(len(labels), -1).argmax(axis=1) == np.asarray(labels)).sum())
        total += len(labels)
    return {"accuracy": right / total, "images": total, "seconds": round(seconds, 2), "file": path.name}
