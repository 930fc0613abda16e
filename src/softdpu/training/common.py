"""What the programs that train, quantize, fine-tune and evaluate share: their data, and how they end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Tuple, Union  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu import tasks
from softdpu.dataset import preprocess
from softdpu.dataset.arrays import Inputs
from softdpu.dataset.pipeline import count_records
from softdpu.dataset.targets import Targets
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.training import tasks as training_tasks
from softdpu.training.batches import KerasArrayBatches, KerasBatches, keras
from softdpu.training.fit import report, save
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.results import METRICS
from softdpu.training.task import TrainingTask

_NAME = r"[A-Za-z0-9_.\\/>-]+"  # of a scope of TensorFlow
EVAL_BATCH = 100
EVAL_PIXELS = EVAL_BATCH << 18  # of a batch: 300 MB as float32
# Pixels of a square, or height and width; what is no image has names and shapes of its inputs.
Size = Union[int, Tuple[int, int], Inputs]  # noqa: UP006, UP007


@dataclass(frozen=True)
class Data:
    """Where the records are and how an image becomes an input.

    Attributes:
        val_records: folder with the .tfrecord files to validate with.
        train_records: folder with those to train and calibrate with; None where only validation is asked for.
        fit: one of preprocess.FITS, or tasks.ARRAYS for records of what is no image.
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


def input_size(model: keras.Model, path: PathLike, fit: str) -> Size:
    """Return height and width in pixels of a model's input of three channels; with tasks.ARRAYS, its inputs.

    Raises:
        SoftdpuError: if the model takes anything else.
    """
    if fit == tasks.ARRAYS:
        inputs = inputs_of(model)
        for name, shape in zip(inputs.names, inputs.shapes):  # noqa: B905 - strict is not in Python 3.7
            if None in shape:
                raise SoftdpuError(f"{path}: the input {name} has no fixed shape, {shape}; give it one (model.file)")
            if not re.fullmatch(_NAME, name):
                raise SoftdpuError(
                    f"{path}: TensorFlow quantizes no input of the name '{name}'; call it and its arrays by letters of"
                    " a to z, digits and _, and save it again (model.file, dataset.path)"
                )
        return inputs
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:3] or shape[3] != 3:
        raise SoftdpuError(
            f"{path} must take one image of 3 channels, it takes {shape}; for task none, records of arrays feed any"
            " other (dataset.kind: arrays, --fit arrays)"
        )
    return int(shape[1]), int(shape[2])


def inputs_of(model: keras.Model) -> Inputs:
    """Return names and shapes of a model's inputs."""
    return Inputs(tuple(model.input_names), tuple(tuple(tensor.shape[1:]) for tensor in model.inputs))


def train_batches(data: Data, size: Size, targets: Targets | None, hyperparameters: Hyperparameters) -> KerasBatches:
    """Open the training records: shuffled and augmented as the hyperparameters say.

    Raises:
        SoftdpuError: if they hold no images.
    """
    if isinstance(size, Inputs):
        raise SoftdpuError(f"{data.train_records}: training takes images, these are arrays (dataset.kind)")
    return KerasBatches(
        data.training_folder(),
        size,
        hyperparameters.batch_size,
        data.fit,
        images=hyperparameters.images,
        seed=hyperparameters.seed,
        augmentation=hyperparameters.augmentation,
        threads=hyperparameters.threads,
        cache_mib=hyperparameters.cache_mib,
        targets=targets,
        scaling=data.scaling,
    )


def calibration_batches(
    data: Data, size: Size, images: int, batch_size: int, threads: int
) -> KerasBatches | KerasArrayBatches:
    """Open some of the training records, evenly spread and as they are; all, and say so, if they are too few."""
    folder = data.training_folder()
    total = count_records(folder)
    if images > total:
        print(f"note: calibrated with all {total} training images; {images} were asked for (quantize.calib_images)")
        images = total
    if isinstance(size, Inputs):
        return KerasArrayBatches(folder, size, batch_size, images)
    return KerasBatches(folder, size, batch_size, data.fit, images=images, threads=threads, scaling=data.scaling)


def val_batches(data: Data, size: Size, targets: Targets | None, threads: int, images: int | None = None) -> Any:
    """Open the validation records, or some of them, in their order."""
    if isinstance(size, Inputs):
        numbers = sum(int(np.prod(shape)) for shape in size.shapes)
        return KerasArrayBatches(data.val_records, size, max(1, min(EVAL_BATCH, 3 * EVAL_PIXELS // numbers)), images)
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
