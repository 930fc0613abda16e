"""Quantization after training, fine-tuning with fake quantization, evaluation: through the API of AMD's quantizer."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softdpu.dataset.options import positive
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike, write_json
from softdpu.training import quantizers
from softdpu.training import recipe as recipes
from softdpu.training import setup as setups
from softdpu.training.batches import KerasBatches, deterministic, keras
from softdpu.training.common import finish, train_batches, val_batches
from softdpu.training.fit import evaluate, fit, report
from softdpu.training.results import HISTORY


def add_quantizer_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of calibration."""
    parser.add_argument(
        "--calib-images", type=positive, default=256, help="training images to calibrate with (default: 256)"
    )
    parser.add_argument("--calib-batch", type=positive, default=32, help="images a calibration batch (default: 32)")
    parser.add_argument(
        "--recipe", help="corrections before quantization that softdpu's quantizer has; 'vitis' does what AMD's does"
    )
    quantizers.add_argument(parser)


def quantize(args: argparse.Namespace) -> None:
    """Quantize a float model after training; writes the model and metrics.json beside it."""
    deterministic(args.seed, args.threads)
    model = load(args.model, args.quantizer)
    size = input_size(model, args.model)
    calibration = _calibration(args, size)
    with _messages():
        tool = quantizers.vitis_quantize(args.quantizer)
        quantizer = tool.VitisQuantizer(model, **quantizers.options(args.quantizer, args.recipe))
        quantized = quantizer.quantize_model(calib_dataset=calibration, verbose=1)
    _write_positions(quantized, args)
    finish(quantized, args, size, "quantized model", args.threads)


def finetune(args: argparse.Namespace) -> None:
    """Fine-tune a float model with fake quantization; writes the deployable model and metrics.json beside it."""
    recipe = recipes.from_arguments(args)
    setup = setups.begin(args, recipe)
    model = load(args.model, args.quantizer)
    size = input_size(model, args.model)
    tool = quantizers.vitis_quantize(args.quantizer)
    calibration = _calibration(args, size)
    with _messages():
        trainable = quantizers.trainable(args.quantizer, model, calibration, args.recipe)
    classes = model.output_shape[-1]
    data = train_batches(args, size, classes, recipe)
    val = val_batches(args, size, classes, recipe.threads, recipe.val_images)
    history = Path(args.output).parent / HISTORY
    fit(trainable, data, val, recipe, args.tensorboard, keep_start=True, history=history, setup=setup)
    del data, val  # their images, before all validation images are read
    if setup.devices.chief:
        with _messages():
            deployed = tool.VitisQuantizer.get_deploy_model(trainable)
        _write_positions(deployed, args)
        finish(deployed, args, size, "fine-tuned model", recipe.threads)
    setup.end()


def evaluate_model(args: argparse.Namespace) -> None:
    """Evaluate a float or quantized model on all validation records; writes metrics.json."""
    deterministic(0, args.threads)
    model = load(args.model, args.quantizer)
    data = val_batches(args, input_size(model, args.model), model.output_shape[-1], args.threads)
    report(evaluate(model, data), args.output, str(args.model))


def load(path: PathLike, quantizer: str = quantizers.SOFTDPU) -> Any:
    """Load a float .h5 model, or one that `quantizer` can read, without its optimizer.

    Raises:
        SoftdpuError: if there is none, or Keras cannot read it.
    """
    if not os.path.isfile(path):
        raise SoftdpuError(f"there is no model {path}; build it first")
    scope = quantizers.vitis_quantize(quantizer).quantize_scope()
    try:
        with scope:
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


def _calibration(args: argparse.Namespace, size: int) -> KerasBatches:
    return KerasBatches(
        args.train_records,
        size,
        args.calib_batch,
        args.fit,
        images=args.calib_images,
        threads=args.threads,
        scaling=args.scaling,
    )


def _write_positions(model: Any, args: argparse.Namespace) -> None:
    """Write the positions of a quantized model beside it."""
    positions = quantizers.positions(args.quantizer, model)
    write_json(Path(args.output).with_suffix(".positions.json"), positions)


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Turn a ValueError of a quantizer, its way to refuse a network, into one line."""
    try:
        yield
    except SoftdpuError:
        raise
    except ValueError as error:
        raise SoftdpuError(f"the quantizer refuses the model: {error}") from None
