"""What the programs train, quantize, finetune and evaluate do, in terms of files and folders."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path
from typing import Any

from softdpu.dataset import preprocess
from softdpu.errors import SoftdpuError
from softdpu.files import PathLike, write_text
from softdpu.training import recipe as recipes
from softdpu.training.fit import evaluate, report, save
from softdpu.training.float_model import train, train_batches
from softdpu.training.keras2 import KerasBatches, deterministic, keras
from softdpu.training.model import mobilenet
from softdpu.training.recipe import Recipe, positive

EVAL_BATCH = 100
METRICS = "metrics.json"


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


def add_quantizer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibration."""
    parser.add_argument(
        "--calib-images", type=positive, default=256, help="training images to calibrate with (default: 256)"
    )
    parser.add_argument("--calib-batch", type=positive, default=32, help="images a calibration batch (default: 32)")
    parser.add_argument(
        "--recipe", help="corrections before quantization that our quantizer has; 'vitis' does what AMD's does"
    )


def train_float(args: argparse.Namespace) -> None:
    """Train the float network; writes the model, metrics.json and model_summary.txt beside it."""
    recipe = recipes.from_arguments(args)
    deterministic(recipe.seed, recipe.threads)
    model = mobilenet(args.classes, args.size, args.alpha, args.dropout, args.weights, args.freeze_base)
    data = train_batches(args.train_records, args.size, args.fit, args.classes, recipe)
    train(model, data, _val(args, args.size, recipe, args.classes), recipe, args.cache_features, args.tensorboard)
    del data
    lines: list[str] = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    write_text(Path(args.output).parent / "model_summary.txt", "\n".join(lines) + "\n")
    _finish(model, args, args.size, args.output, "float model", recipe.threads)


def quantize(args: argparse.Namespace) -> None:
    """Quantize a float model after training; writes the model and metrics.json beside it."""
    deterministic(args.seed, args.threads)
    model = load(args.model)
    size = input_size(model, args.model)
    quantizer = vitis_quantize().VitisQuantizer(model)
    options = {"recipe": args.recipe} if args.recipe else {}
    with _messages():
        quantized = quantizer.quantize_model(calib_dataset=_calibration(args, size), **options)
    _positions(quantized, args.output)
    _finish(quantized, args, size, args.output, "quantized model", args.threads)


def finetune(args: argparse.Namespace) -> None:
    """Fine-tune a float model with fake quantization; writes the deployable model and metrics.json beside it."""
    recipe = recipes.from_arguments(args)
    deterministic(recipe.seed, recipe.threads)
    model = load(args.model)
    size = input_size(model, args.model)
    tool = vitis_quantize()
    options = {"recipe": args.recipe} if args.recipe else {}
    with _messages():
        quantizer = tool.VitisQuantizer(model)
        calibration = _calibration(args, size)
        trainable = quantizer.get_qat_model(init_quant=True, calib_dataset=calibration, **options)
    classes = model.output_shape[-1]
    data = train_batches(args.train_records, size, args.fit, classes, recipe)
    train(trainable, data, _val(args, size, recipe, classes), recipe, False, args.tensorboard)
    del data
    with _messages():
        deployed = tool.VitisQuantizer.get_deploy_model(trainable)
    _positions(deployed, args.output)
    _finish(deployed, args, size, args.output, "fine-tuned model", recipe.threads)


def evaluate_model(args: argparse.Namespace) -> None:
    """Evaluate a float or quantized model on all validation records; writes metrics.json."""
    deterministic(0, args.threads)
    model = load(args.model)
    data = _batches(args.val_records, input_size(model, args.model), EVAL_BATCH, args.fit, args.threads)
    report(evaluate(model, data), args.output, str(args.model))


def vitis_quantize() -> Any:
    """Return AMD's module vitis_quantize where it is installed, otherwise ours, which has the same names."""
    try:
        from tensorflow_model_optimization.quantization.keras import vitis_quantize as amd
    except ImportError:
        from softdpu.quantizer import vitis_quantize as ours

        return ours
    return amd


def load(path: PathLike) -> Any:
    """Load a float or quantized .h5 model without its optimizer.

    Raises:
        SoftdpuError: if there is none, or Keras cannot read it.
    """
    if not os.path.isfile(path):
        raise SoftdpuError(f"there is no model {path}; build it first")
    try:
        with vitis_quantize().quantize_scope():
            return keras.models.load_model(str(path), compile=False)
    except Exception as error:
        raise SoftdpuError(f"{path} is not a Keras-2 .h5 model that can be loaded: {error}") from None


def input_size(model: Any, path: PathLike) -> int:
    """Return the size in pixels of a model's square input of three channels.

    Raises:
        SoftdpuError: if the model takes anything else.
    """
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] != shape[2] or shape[1] is None or shape[3] != 3:
        raise SoftdpuError(f"{path} must take one square image of 3 channels, it takes {shape}")
    return int(shape[1])


def _val(args: argparse.Namespace, size: int, recipe: Recipe, classes: int) -> KerasBatches:
    return _batches(args.val_records, size, EVAL_BATCH, args.fit, recipe.threads, recipe.val_images, classes)


def _calibration(args: argparse.Namespace, size: int) -> KerasBatches:
    return _batches(args.train_records, size, args.calib_batch, args.fit, args.threads, args.calib_images)


def _batches(
    folder: str, size: int, batch: int, fit: str, threads: int, images: int | None = None, classes: int | None = None
) -> KerasBatches:
    return KerasBatches(folder, size, batch, fit, images=images, threads=threads, classes=classes)


def _finish(model: Any, args: argparse.Namespace, size: int, output: PathLike, what: str, threads: int) -> None:
    """Evaluate on all validation records; then write the model, and last its metrics."""
    data = _batches(args.val_records, size, EVAL_BATCH, args.fit, threads, classes=model.output_shape[-1])
    metrics = evaluate(model, data)
    save(model, output)
    report(metrics, Path(output).parent / METRICS, f"{what} {output}")


def _positions(model: Any, output: PathLike) -> None:
    """Write the positions of a quantized model beside it, if our own quantizer made it."""
    with contextlib.suppress(ImportError):
        from softdpu.quantizer import positions_report

        write_text(Path(output).with_suffix(".positions.json"), positions_report(model))


@contextlib.contextmanager
def _messages() -> Any:
    """Turn a ValueError of a quantizer, its way to refuse a network, into one line."""
    try:
        yield
    except ValueError as error:
        raise SoftdpuError(f"the quantizer refuses the model: {error}") from None


__all__ = ["add_data_arguments", "evaluate_model", "finetune", "positive", "quantize", "train_float"]
