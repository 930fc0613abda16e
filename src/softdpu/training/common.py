"""What the programs that train, quantize, fine-tune and evaluate share: their options, and how they end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from softdpu.dataset import options, preprocess
from softdpu.training.batches import KerasBatches
from softdpu.training.fit import evaluate, report, save
from softdpu.training.recipe import Recipe
from softdpu.training.results import METRICS, PREDICTIONS

EVAL_BATCH = 100


def add_data_arguments(parser: argparse.ArgumentParser, train: bool = True) -> None:
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
        choices=preprocess.FITS,
        default=preprocess.STRETCH,
        help="how an image becomes a square: stretched, or short side to 256/224 and the middle cut out"
        " (default: stretch)",
    )
    options.add_scaling_argument(parser)


def train_batches(args: argparse.Namespace, size: int, classes: int, recipe: Recipe) -> KerasBatches:
    """Open the training records of a command line: shuffled and augmented as the recipe says."""
    return KerasBatches(
        args.train_records,
        size,
        recipe.batch_size,
        args.fit,
        images=recipe.images,
        seed=recipe.seed,
        augmentation=recipe.augmentation,
        threads=recipe.threads,
        cache_mib=recipe.cache_mib,
        classes=classes,
        scaling=args.scaling,
    )


def val_batches(
    args: argparse.Namespace, size: int, classes: int, threads: int, images: int | None = None
) -> KerasBatches:
    """Open the validation records of a command line, or some of them, in their order."""
    return KerasBatches(
        args.val_records,
        size,
        EVAL_BATCH,
        args.fit,
        images=images,
        threads=threads,
        classes=classes,
        scaling=args.scaling,
    )


def finish(model: Any, args: argparse.Namespace, size: int, what: str, threads: int) -> None:
    """Evaluate on all validation records; then write the model to args.output, and last its metrics beside it.

    The predicted class of each image stands beside it too, in predictions.csv.
    """
    predictions = Path(args.output).parent / PREDICTIONS
    metrics = evaluate(model, val_batches(args, size, model.output_shape[-1], threads), predictions)
    save(model, args.output)
    report(metrics, Path(args.output).parent / METRICS, f"{what} {args.output}")
