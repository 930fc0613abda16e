"""What the programs that train, quantize, fine-tune and evaluate share: their data, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import count_records
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.training.batches import KerasBatches
from softdpu.training.fit import evaluate, report, save
from softdpu.training.recipe import Recipe
from softdpu.training.results import METRICS, PREDICTIONS

EVAL_BATCH = 100


@dataclass(frozen=True)
class Data:
    """Where the records are and how an image becomes an input.

    Attributes:
        val_records: folder with the .tfrecord files to validate with.
        train_records: folder with those to train and calibrate with; None where only validation is asked for.
        fit: preprocess.STRETCH or preprocess.CROP.
        scaling: what the network's input is of a pixel.
    """

    val_records: PathLike
    train_records: PathLike | None = None
    fit: str = preprocess.STRETCH
    scaling: preprocess.Scaling = preprocess.TF

    def training_folder(self) -> PathLike:
        """Return the folder of the training records; raises SoftdpuError if none was named."""
        if self.train_records is None:
            raise SoftdpuError("training and calibration need the folder of the training records (train_records)")
        return self.train_records


def train_batches(data: Data, size: int, classes: int, recipe: Recipe) -> KerasBatches:
    """Open the training records: shuffled and augmented as the recipe says."""
    return KerasBatches(
        data.training_folder(),
        size,
        recipe.batch_size,
        data.fit,
        images=recipe.images,
        seed=recipe.seed,
        augmentation=recipe.augmentation,
        threads=recipe.threads,
        cache_mib=recipe.cache_mib,
        classes=classes,
        scaling=data.scaling,
    )


def calibration_batches(data: Data, size: int, images: int, batch_size: int, threads: int) -> KerasBatches:
    """Open some of the training records, evenly spread and as they are; all, and say so, if they are too few."""
    folder = data.training_folder()
    total = count_records(folder)
    if images > total:
        print(f"note: calibrated with all {total} training images; {images} were asked for (quantize.calib_images)")
        images = total
    return KerasBatches(folder, size, batch_size, data.fit, images=images, threads=threads, scaling=data.scaling)


def val_batches(data: Data, size: int, classes: int, threads: int, images: int | None = None) -> KerasBatches:
    """Open the validation records, or some of them, in their order."""
    return KerasBatches(
        data.val_records,
        size,
        EVAL_BATCH,
        data.fit,
        images=images,
        threads=threads,
        classes=classes,
        scaling=data.scaling,
    )


def finish(model: Any, data: Data, output: PathLike, size: int, what: str, threads: int) -> None:
    """Evaluate on all validation records; then write the model to `output`, and last its metrics beside it.

    The predicted class of each image stands beside it too, in predictions.csv.
    """
    folder = Path(output).parent
    metrics = evaluate(model, val_batches(data, size, model.output_shape[-1], threads), folder / PREDICTIONS)
    save(model, output)
    report(metrics, folder / METRICS, f"{what} {output}")
