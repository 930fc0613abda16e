"""Quantization after training, fine-tuning with fake quantization, evaluation: through the API of AMD's quantizer."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.keras2 import door
from softdpu.output.files import PathLike, write_json
from softdpu.training import setup as setups
from softdpu.training import whose_quantizer
from softdpu.training.batches import KerasArrayBatches, KerasBatches, keras, make_repeatable
from softdpu.training.common import (
    Data,
    Size,
    calibration_batches,
    finish,
    input_size,
    train_batches,
    val_batches,
)
from softdpu.training.fit import fit, report
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.results import HISTORY
from softdpu.training.setup import Surroundings


@dataclass(frozen=True)
class Calibration:
    """How a quantizer is shown images, and which quantizer it is.

    Attributes:
        calib_images: training images, at most; a smaller set gives all that it has.
        calib_batch: images a batch.
        recipe_of_quantizer: corrections before quantization that softdpu's quantizer has, None for its default.
        quantizer: one of whose_quantizer.CHOICES.
        trust: whether the model's file may hold code and name any class (keras2.door).
    """

    calib_images: int = 256
    calib_batch: int = 32
    recipe_of_quantizer: str | None = None
    quantizer: str = whose_quantizer.SOFTDPU
    trust: bool = False


@dataclass(frozen=True)
class Quantization:
    """A float model to quantize after training: `output` is the path of the quantized model."""

    model: PathLike
    output: PathLike
    data: Data
    calibration: Calibration = Calibration()
    seed: int = 1
    threads: int = 1


@dataclass(frozen=True)
class FineTuning:
    """A float model to fine-tune with fake quantization.

    Attributes:
        model: path of the float model.
        output: path of the deployable quantized model.
        tensorboard: folder for its logs, None for none.
    """

    model: PathLike
    output: PathLike
    data: Data
    hyperparameters: Hyperparameters
    calibration: Calibration = Calibration()
    surroundings: Surroundings = Surroundings()  # noqa: RUF009 - frozen
    tensorboard: PathLike | None = None


@dataclass(frozen=True)
class Evaluation:
    """A float or quantized model to evaluate.

    Attributes:
        output: path of the JSON file with its metrics.
        reference: path of the float model, for a task that compares outputs.
    """

    model: PathLike
    output: PathLike
    data: Data
    quantizer: str = whose_quantizer.SOFTDPU
    threads: int = 1
    trust: bool = False
    reference: PathLike | None = None


def quantize(job: Quantization) -> None:
    """Quantize a float model after training; writes the model and metrics.json beside it."""
    make_repeatable(job.seed, job.threads)
    how = job.calibration
    model = load(job.model, how.quantizer, how.trust)
    size = input_size(model, job.model, job.data.fit)
    calibration = _open_calibration(job.data, how, size, job.threads)
    with _explain_refusal():
        tool = whose_quantizer.import_quantizer(how.quantizer)
        chosen = whose_quantizer.choose_options(how.quantizer, how.recipe_of_quantizer)
        quantized = tool.VitisQuantizer(model, **chosen).quantize_model(calib_dataset=calibration, verbose=1)
    _write_positions(quantized, how.quantizer, job.output)
    finish(quantized, job.data, job.output, size, "quantized model", job.threads, _load_reference(job))


def finetune(job: FineTuning) -> None:
    """Fine-tune a float model with fake quantization; writes the deployable model and metrics.json beside it."""
    hyperparameters, how = job.hyperparameters, job.calibration
    setup = setups.begin(job, hyperparameters, job.surroundings)
    model = load(job.model, how.quantizer, how.trust)
    size = input_size(model, job.model, job.data.fit)
    tool = whose_quantizer.import_quantizer(how.quantizer)
    calibration = _open_calibration(job.data, how, size, hyperparameters.threads)
    with _explain_refusal():
        trainable = whose_quantizer.make_trainable(how.quantizer, model, calibration, how.recipe_of_quantizer)
    task = job.data.find_task()
    targets = task.targets(model)
    train = train_batches(job.data, size, targets, hyperparameters)
    val = val_batches(job.data, size, targets, hyperparameters.threads, hyperparameters.val_images)
    history = Path(job.output).parent / HISTORY
    fit(
        task.trained(trainable),
        train,
        val,
        hyperparameters,
        job.tensorboard,
        keep_start=True,
        history=history,
        setup=setup,
        task=task,
    )
    del train, val  # their images, before all validation images are read
    if setup.devices.chief:
        with _explain_refusal():
            deployed = tool.VitisQuantizer.get_deploy_model(trainable)
        _write_positions(deployed, how.quantizer, job.output)
        finish(deployed, job.data, job.output, size, "fine-tuned model", hyperparameters.threads, _load_reference(job))
    setup.end()


def evaluate_model(job: Evaluation) -> None:
    """Evaluate a float or quantized model on all validation records; writes metrics.json."""
    make_repeatable(0, job.threads)
    model = load(job.model, job.quantizer, job.trust)
    task = job.data.find_task()
    task.check(model, job.model)
    size = input_size(model, job.model, job.data.fit)
    data = val_batches(job.data, size, task.targets(model), job.threads)
    reference = load(job.reference, trust=job.trust) if job.reference else None
    report(task.evaluate(model, data, reference=reference), job.output, str(job.model), task)


def load(path: PathLike, quantizer: str = whose_quantizer.SOFTDPU, trust: bool = False) -> keras.Model:
    """Load a float .h5 model, or one that `quantizer` can read, without its optimizer.

    Raises:
        SoftdpuError: if there is none, or it may not or cannot be loaded (door.load_model).
    """
    with whose_quantizer.import_quantizer(quantizer).quantize_scope():
        return door.load_model(path, trust)


def _load_reference(job: Quantization | FineTuning) -> keras.Model | None:
    """Return the float model as it was, for a task that compares with it."""
    if not job.data.find_task().compares:
        return None
    return load(job.model, job.calibration.quantizer, job.calibration.trust)


def _open_calibration(data: Data, how: Calibration, size: Size, threads: int) -> KerasBatches | KerasArrayBatches:
    return calibration_batches(data, size, how.calib_images, how.calib_batch, threads)


def _write_positions(model: keras.Model, quantizer: str, output: PathLike) -> None:
    """Write the positions of a quantized model beside it."""
    write_json(Path(output).with_suffix(".positions.json"), whose_quantizer.report_positions(quantizer, model))


@contextlib.contextmanager
def _explain_refusal() -> Iterator[None]:
    """Turn a ValueError of a quantizer, its way to refuse a network, into one line."""
    try:
        yield
    except SoftdpuError:
        raise
    except ValueError as error:
        raise SoftdpuError(f"the quantizer refuses the model: {error}") from None
