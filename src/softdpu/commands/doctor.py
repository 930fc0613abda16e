"""`softdpu doctor` and scripts/doctor.py: why a float model loses accuracy when it is quantized."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import cv2
import numpy as np

from softdpu.commands import values
from softdpu.commands.models import as_h5
from softdpu.commands.options import add_trust
from softdpu.dataset import preprocess
from softdpu.doctor.examine import examine
from softdpu.doctor.report import as_text, write
from softdpu.errors import SoftdpuError
from softdpu.quantizer import QuantizerError
from softdpu.training.batches import make_repeatable
from softdpu.training.common import Data, calibration_batches, input_size
from softdpu.training.quantization import load

BATCH = 32


def doctor(args: argparse.Namespace) -> None:
    """Examine a float model, print the report and write it into args.output.

    Raises:
        SoftdpuError: for a model or records that cannot be used.
    """
    make_repeatable(1, args.threads)
    model = load(args.model, trust=args.trust)
    if args.records:
        size = input_size(model, args.model, args.fit)
        data = Data(args.records, args.records, args.fit, args.scaling)
        images: Any = calibration_batches(data, size, args.calib_images, BATCH, args.threads)
    else:
        logging.info("no --records: examined on %d random images, which say less than real ones", args.calib_images)
        images = random_images(model, args.calib_images)
    try:
        found = examine(model, images)
    except QuantizerError as error:
        raise SoftdpuError(f"{args.model}: {error}") from None
    print(as_text(found))
    files = write(found, args.output)
    print(f"note: {args.output}: {', '.join(files)}")


def random_images(model: Any, count: int) -> Any:
    """Return random inputs in -1..1 for a model; images are smooth, float32[count, height, width, channels]."""
    random = np.random.default_rng(1)
    found = [_random(random, count, tensor.shape[1:]) for tensor in model.inputs]
    return found[0] if len(found) == 1 else found


def _random(random: np.random.Generator, count: int, shape: Any) -> np.ndarray:
    if None in shape:
        raise SoftdpuError(f"the model's input has no fixed size, {tuple(shape)}; give images with --records")
    if len(shape) != 3:
        return random.uniform(-1, 1, (count, *shape)).astype(np.float32)
    height, width, channels = shape
    small = random.uniform(-1.5, 1.5, (count, 8, 8, channels)).astype(np.float32)
    smooth = [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in small]
    return np.clip(np.reshape(smooth, (count, height, width, channels)), -1, 1).astype(np.float32)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the doctor takes; `run` of the parsed arguments examines."""
    add = parser.add_argument
    add("model", help="the float model, .h5 or .keras")
    add("--records", metavar="DIR", help="folder with .tfrecord files; without it random images")
    add("--calib-images", type=values.positive, default=128, help="images to calibrate with (default: 128)")
    add("--fit", choices=preprocess.ALL, default=preprocess.STRETCH, help="how a record becomes the input")
    values.add_scaling_argument(parser)
    add("--threads", type=values.positive, default=1, help="threads to compute with (default: 1)")
    add_trust(parser)
    add("--output", required=True, metavar="DIR", help="folder for doctor.json and the pictures")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Examine as the arguments say."""
    with as_h5(args.model) as args.model:
        doctor(args)
