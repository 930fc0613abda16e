"""The options that the programs which train, quantize, fine-tune and evaluate share, and what they become.

Those of the quantizer are in calibration.py: training knows no quantizer, so that an edit to one does not train again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import fields

from softdpu import tasks
from softdpu.commands.fields import pick
from softdpu.commands.values import add_scaling_argument, positive, seed, share
from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import Augmentation
from softdpu.training import devices
from softdpu.training.common import Data
from softdpu.training.hyperparameters import OPTIMIZERS, SCHEDULES, Hyperparameters
from softdpu.training.setup import Surroundings


def add_data(parser: argparse.ArgumentParser, train: bool = True) -> None:
    """Add the options that say where the records are and how an image becomes an input."""
    if train:
        parser.add_argument(
            "--train-records", required=True, metavar="DIR", help="folder with the training .tfrecord files"
        )
    parser.add_argument(
        "--val-records", required=True, metavar="DIR", help="folder with the validation .tfrecord files"
    )
    parser.add_argument(
        "--fit",
        choices=preprocess.ALL,
        default=preprocess.STRETCH,
        help="how an image becomes the input: stretched; crop: short side to 256/224 and the middle cut out; letterbox:"
        " whole, with grey beside it; arrays: the records hold no images but arrays (default: stretch)",
    )
    add_scaling_argument(parser)
    add_task(parser)


def add_task(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what the network is for."""
    name = tasks.CLASSIFICATION.name
    parser.add_argument("--task", choices=list(tasks.TASKS), default=name, help=f"what it is for (default: {name})")
    parser.add_argument(
        "--detection", default="{}", metavar="JSON", help="--task detection: decoder and thresholds, as in the config"
    )


def read_data(args: argparse.Namespace) -> Data:
    """Return what the options of `add_data` say."""
    tasks.check_fit(args.task, args.fit)
    return pick(Data, args, train_records=getattr(args, "train_records", None))


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the number of threads of a program that trains nothing."""
    parser.add_argument("--threads", type=positive, default=1, help="threads to compute with (default: 1)")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option that lets a model file name any class and hold code."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="the model file is your own: it may hold code (Lambda) and name any class (docs/security.md)",
    )


def add_surroundings(parser: argparse.ArgumentParser) -> None:
    """Add the options of devices and checkpoints."""
    parser.add_argument(
        "--strategy",
        choices=devices.STRATEGIES,
        default=devices.AUTO,
        help="one device, all GPUs of this machine (mirrored), or the machines of TF_CONFIG or of a Slurm step"
        " (multi_worker); auto takes what there is (default: auto)",
    )
    parser.add_argument(
        "--worker-timeout",
        type=positive,
        default=devices.TIMEOUT,
        metavar="SECONDS",
        help=f"give up when a worker does not answer for that long at the start (default: {devices.TIMEOUT})",
    )
    parser.add_argument(
        "--checkpoints",
        metavar="DIR",
        help="folder for a checkpoint after each epoch, from which the same command goes on if it was killed; removed"
        " in the end (default: none)",
    )


def read_surroundings(args: argparse.Namespace) -> Surroundings:
    """Return what the options of `add_surroundings` say."""
    return pick(Surroundings, args, mixed_precision=getattr(args, "mixed_precision", None))


def add_hyperparameters(parser: argparse.ArgumentParser, defaults: Hyperparameters) -> None:
    """Add one option for each of the hyperparameters."""

    def add(name: str, kind: Callable[[str], object], text: str, **more: object) -> None:
        value = getattr(defaults, name, None)
        shown = "all" if value is None else " ".join(f"{e}:{f}" for e, f in value) if name == "lr_steps" else value
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=kind, default=value, help=f"{text} (default: {shown})", **more)  # type: ignore[arg-type]

    add("epochs", positive, "how often each image is seen")
    add("batch_size", positive, "images per step")
    add("images", positive, "training images to use, evenly spread over the records")
    add("val_images", positive, "validation images to choose the best epoch by; the final accuracy is always over all")
    add("optimizer", str, "the optimizer", choices=OPTIMIZERS)
    add("learning_rate", float, "the highest learning rate")
    add("schedule", str, "how the learning rate falls", choices=SCHEDULES)
    add("warmup_epochs", float, "epochs over which the learning rate rises from 0")
    add("final_rate", share, "share of the learning rate at which the cosine ends")
    add("lr_steps", _read_step, "for --schedule step: epoch:factor pairs, 6:0.1 11:0.01", nargs="*", metavar="E:F")
    add("label_smoothing", share, "share of the label that is spread over the other classes")
    add("weight_decay", float, "weight decay of adamw")
    add("seed", seed, "of the weights, the shuffle, dropout and the augmentation")
    add("threads", positive, "threads to compute with; another number gives other last bits")
    add("cache_mib", int, "keep decoded images in memory if they take no more MiB than that")
    for name, text in (("crop", "cut the square at a random place"), ("flip", "flip left to right at random")):
        parser.add_argument(f"--augment-{name}", action="store_true", help=text)
    for name in ("brightness", "contrast", "saturation"):
        parser.add_argument(
            f"--augment-{name}", type=share, default=0.0, help="change it by up to this share at random"
        )


def read_hyperparameters(args: argparse.Namespace) -> Hyperparameters:
    """Return the hyperparameters that a command line asks for."""
    augmentation = {field.name: getattr(args, "augment_" + field.name) for field in fields(Augmentation)}
    return pick(Hyperparameters, args, lr_steps=tuple(args.lr_steps), augmentation=Augmentation(**augmentation))


def read_training(args: argparse.Namespace) -> dict[str, object]:
    """Return by field what a stage that trains is made of, as the options of all functions here say."""
    return {
        "data": read_data(args),
        "hyperparameters": read_hyperparameters(args),
        "surroundings": read_surroundings(args),
    }


def _read_step(text: str) -> tuple[int, float]:
    try:
        epoch, factor = text.split(":")
        return int(epoch), float(factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be epoch:factor as in 6:0.1, got {text}") from None
