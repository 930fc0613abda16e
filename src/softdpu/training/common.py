"""What the programs that train, quantize, fine-tune and evaluate share: their data, and how they end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Tuple, Union  # noqa: UP035 - Python 3.7 of AMD's containers

from softdpu import tasks
from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import count_records
from softdpu.dataset.targets import Targets
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.training import tasks as training_tasks
from softdpu.training.batches import KerasBatches, keras
from softdpu.training.fit import report, save
from softdpu.training.recipe import Recipe
from softdpu.training.results import METRICS
from softdpu.training.task import TrainingTask

EVAL_BATCH = 100
EVAL_PIXELS = EVAL_BATCH << 18  # of a batch: 300 MB as float32
Size = Union[int, Tuple[int, int]]  # noqa: UP006, UP007 - pixels of a square, or height and width


@dataclass(frozen=True)
class Data:
    """Where the records are and how an image becomes an input.

    Attributes:
        val_records: folder with the .tfrecord files to validate with.
        train_records: folder with those to train and calibrate with; None where only validation is asked for.
        fit: preprocess.STRETCH or preprocess.CROP.
        scaling: what the network's input is of a pixel.
        task: what the network is for, a name of softdpu.tasks.
        detection: how outputs become boxes, JSON as detection.settings.read takes it.
    """

    val_records: PathLike
    train_records: PathLike | None = None
    fit: str = preprocess.STRETCH
    scaling: preprocess.Scaling = preprocess.TF
    task: str = tasks.CLASSIFICATION.name
    detection: str = "{}"

    def find_task(self) -> TrainingTask:
        """Return what training and evaluation need of the task."""
        return training_tasks.find(self.task, self)

    def training_folder(self) -> PathLike:
        """Return the folder of the training records; raises SoftdpuError if none was named."""
        if self.train_records is None:
            raise SoftdpuError("training and calibration need the folder of the training records (train_records)")
        return self.train_records


def train_batches(data: Data, size: Size, targets: Targets | None, recipe: Recipe) -> KerasBatches:
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
        targets=targets,
        scaling=data.scaling,
    )


def calibration_batches(data: Data, size: Size, images: int, batch_size: int, threads: int) -> KerasBatches:
    """Open some of the training records, evenly spread and as they are; all, and say so, if they are too few."""
    folder = data.training_folder()
    total = count_records(folder)
    if images > total:
        print(f"note: calibrated with all {total} training images; {images} were asked for (quantize.calib_images)")
        images = total
    return KerasBatches(folder, size, batch_size, data.fit, images=images, threads=threads, scaling=data.scaling)


def val_batches(
    data: Data, size: Size, targets: Targets | None, threads: int, images: int | None = None
) -> KerasBatches:
    """Open the validation records, or some of them, in their order."""
    height, width = (size, size) if isinstance(size, int) else size
    return KerasBatches(
        data.val_records,
        size,
        max(1, min(EVAL_BATCH, EVAL_PIXELS // (height * width))),
        data.fit,
        images=images,
        threads=threads,
        targets=targets,
        scaling=data.scaling,
    )


def finish(
    model: keras.Model, data: Data, output: PathLike, size: Size, what: str, threads: int, reference: Any = None
) -> None:
    """Evaluate on all validation records; then write the model to `output`, and last its metrics beside it.

    What it said of each image stands beside it too, in the file that the task names (predictions.csv).

    Args:
        model: float or quantized.
        data: the records.
        output: path of its .h5.
        size: of its input.
        what: it is, for the line that is printed.
        threads: to compute with.
        reference: the float model, for a task that compares.
    """
    folder, task = Path(output).parent, data.find_task()
    batches = val_batches(data, size, task.targets(model), threads)
    metrics = task.evaluate(model, batches, folder / tasks.find(data.task).predictions, reference)
    save(model, output)
    report(metrics, folder / METRICS, f"{what} {output}", task)
