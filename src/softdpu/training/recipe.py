"""How a network is trained: all numbers in one place, and the command-line options that set them."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, fields

from softdpu.dataset.options import positive, share
from softdpu.dataset.pipeline import Augmentation

COSINE = "cosine"
STEP = "step"
CONSTANT = "constant"
SCHEDULES = (COSINE, STEP, CONSTANT)
OPTIMIZERS = ("adam", "adamw", "sgd")


@dataclass(frozen=True)
class Recipe:
    """A training run.

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


def add_arguments(parser: argparse.ArgumentParser, defaults: Recipe) -> None:
    """Add one option for each number of a recipe."""

    def add(name: str, kind: Callable[[str], object], text: str, **more: object) -> None:
        value = getattr(defaults, name, None)
        shown = "all" if value is None else " ".join(f"{e}:{f}" for e, f in value) if name == "lr_steps" else value
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=kind, default=value, help=f"{text} (default: {shown})", **more)  # type: ignore[arg-type]

    add("epochs", positive, "how often each image is seen")
    add("batch_size", positive, "images a step")
    add("images", positive, "training images to use, evenly spread over the records")
    add("val_images", positive, "validation images to choose the best epoch by; the final accuracy is always over all")
    add("optimizer", str, "the optimizer", choices=OPTIMIZERS)
    add("learning_rate", float, "the highest learning rate")
    add("schedule", str, "how the learning rate falls", choices=SCHEDULES)
    add("warmup_epochs", float, "epochs over which the learning rate rises from 0")
    add("final_rate", share, "share of the learning rate at which the cosine ends")
    add("lr_steps", _step, "for --schedule step: epoch:factor pairs, as in 6:0.1 11:0.01", nargs="*", metavar="E:F")
    add("label_smoothing", share, "share of the label that is spread over the other classes")
    add("weight_decay", float, "weight decay of adamw")
    add("seed", int, "of the weights, the shuffle, dropout and the augmentation")
    add("threads", positive, "threads to compute with; another number gives other last bits")
    add("cache_mib", int, "keep decoded images in memory if they take no more MiB than that")
    for name, text in (("crop", "cut the square at a random place"), ("flip", "flip left to right at random")):
        parser.add_argument(f"--augment-{name}", action="store_true", help=text)
    for name in ("brightness", "contrast", "saturation"):
        parser.add_argument(
            f"--augment-{name}", type=share, default=0.0, help="change it by up to this share at random"
        )


def from_arguments(args: argparse.Namespace) -> Recipe:
    """Return the recipe that a command line asks for."""
    values = {field.name: getattr(args, field.name) for field in fields(Recipe) if field.name != "augmentation"}
    values["lr_steps"] = tuple(values["lr_steps"])
    augmentation = {field.name: getattr(args, "augment_" + field.name) for field in fields(Augmentation)}
    return Recipe(augmentation=Augmentation(**augmentation), **values)


def _step(text: str) -> tuple[int, float]:
    try:
        epoch, factor = text.split(":")
        return int(epoch), float(factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be epoch:factor as in 6:0.1, got {text}") from None
