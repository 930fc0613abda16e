"""How a network is trained: all numbers in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from softdpu.dataset.pipeline import Augmentation

COSINE = "cosine"
STEP = "step"
CONSTANT = "constant"
SCHEDULES = (COSINE, STEP, CONSTANT)
OPTIMIZERS = ("adam", "adamw", "sgd")


@dataclass(frozen=True)
class Hyperparameters:
    """The numbers of a training run.

    images: of the training records to use, None for all. val_images: to choose the best epoch by, None for all.
    learning_rate: the highest. warmup_epochs: linear from 0. lr_steps: (epoch from 0, factor) pairs of the schedule
    `step`; from that epoch on the rate is learning_rate * factor. final_rate: share of the rate where the cosine ends.
    threads: of TensorFlow and of the decoding; part of the result. cache_mib: memory for decoded images.
    """

    epochs: int = 3
    batch_size: int = 128
    images: int | None = None
    val_images: int | None = None
    optimizer: str = "adam"
    learning_rate: float = 0.003
    schedule: str = COSINE
    warmup_epochs: float = 0.0
    final_rate: float = 0.0
    lr_steps: tuple[tuple[int, float], ...] = ()
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    augmentation: Augmentation = Augmentation()  # noqa: RUF009 - frozen
    seed: int = 1
    threads: int = 1
    cache_mib: int = 1024

    def rate(self, epoch: float) -> float:
        """Return the learning rate at a moment, counted in epochs from 0."""
        if epoch < self.warmup_epochs:
            return self.learning_rate * epoch / self.warmup_epochs
        if self.schedule == COSINE:
            done = (epoch - self.warmup_epochs) / max(self.epochs - self.warmup_epochs, 1e-9)
            wave = (1 + math.cos(math.pi * min(done, 1.0))) / 2
            return self.learning_rate * (self.final_rate + (1 - self.final_rate) * wave)
        factor = 1.0
        if self.schedule == STEP:
            for start, step_factor in self.lr_steps:
                factor = step_factor if epoch >= start else factor
        return self.learning_rate * factor
