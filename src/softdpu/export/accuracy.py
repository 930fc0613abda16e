"""Metrics of an exported file on record files, the images made as for the network that was trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from softdpu.dataset import preprocess
from softdpu.dataset.masks import Masks
from softdpu.dataset.pipeline import Batches
from softdpu.dataset.targets import Targets
from softdpu.errors import SoftdpuError
from softdpu.export.run import Runner, open_runner
from softdpu.numbers.segmentation import count_pixels
from softdpu.numbers.segmentation import measure as measure_pixels

BATCH = 50


class Judge(Protocol):
    """What compares a network's first output with what is right.

    Attributes:
        targets: what is right, None for the labels.
    """

    targets: Targets | None

    def add(self, truth: np.ndarray, scores: np.ndarray) -> None:
        """Count a batch in."""

    def metrics(self) -> dict[str, Any]:
        """Return the task's metrics, 0..1."""


class LabelJudge:
    """The share of images whose largest output is the label."""

    targets: Targets | None = None

    def __init__(self, runner: Runner) -> None:
        self._right = self._total = 0

    def add(self, truth: np.ndarray, scores: np.ndarray) -> None:
        """See Judge."""
        self._right += int((scores.reshape(len(truth), -1).argmax(axis=1) == np.asarray(truth)).sum())
        self._total += len(truth)

    def metrics(self) -> dict[str, Any]:
        """See Judge."""
        return {"accuracy": self._right / self._total}


class MaskJudge:
    """Mean intersection over union and the share of right pixels."""

    def __init__(self, runner: Runner) -> None:
        """Find the size of the masks in an output for nothing."""
        shape = runner.run([np.zeros((1, *runner.shapes[0]), np.float32)])[0].shape
        if len(shape) != 4:
            raise SoftdpuError(f"the exported file gives {list(shape)}, expected [images, height, width, classes]")
        self.targets: Targets | None = Masks(*shape[1:])
        self._matrix = np.zeros((shape[3], shape[3]), np.int64)

    def add(self, truth: np.ndarray, scores: np.ndarray) -> None:
        """See Judge."""
        self._matrix += count_pixels(truth, scores.argmax(axis=-1), len(self._matrix))

    def metrics(self) -> dict[str, Any]:
        """See Judge."""
        return measure_pixels(self._matrix)


# By task; what is not here is not measured.
JUDGES: dict[str, Callable[[Runner], Judge]] = {"classification": LabelJudge, "segmentation": MaskJudge}


def measure(
    path: Path,
    records: Path,
    fit: str = preprocess.STRETCH,
    scaling: preprocess.Scaling = preprocess.TF,
    images: int | None = None,
    threads: int = 1,
    task: str = "classification",
) -> dict[str, Any]:
    """Return the metrics (0..1) of a task of JUDGES, the number of images and the seconds that the file computed.

    Raises:
        SoftdpuError: the file cannot be run, does not take one image, or the records are missing.
    """
    runner = open_runner(path)
    if len(runner.shapes) != 1 or len(runner.shapes[0]) != 3:
        raise SoftdpuError(f"{path} must take one image to be measured on records, it takes {runner.shapes}")
    judge = JUDGES[task](runner)
    height, width = map(int, runner.shapes[0][:2])
    batches = Batches(
        records,
        (height, width),
        BATCH,
        fit,
        images=images,
        threads=threads,
        scaling=scaling,
        cache_mib=0,
        targets=judge.targets,
    )
    seconds = 0.0
    for index in range(len(batches)):
        pixels, truth = batches[index]
        start = time.perf_counter()
        scores = runner.run([pixels])[0]
        seconds += time.perf_counter() - start
        judge.add(truth, scores)
    return {**judge.metrics(), "images": batches.images, "seconds": round(seconds, 2), "file": path.name}
