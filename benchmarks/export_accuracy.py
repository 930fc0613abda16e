"""Every export of a network beside the DPU's numbers: accuracy on the test images, and how many outputs differ.

MobileNet v1 1.0 with ImageNet weights and a head trained on Fashion-MNIST, quantized by rescue, exported as xint8,
vint8 and .tflite; onnxruntime and LiteRT run the files, the software DPU the compiled network. The goals: accuracy
within 0.1 points of the DPU's, the .tflite equal bit for bit.

    python benchmarks/export_accuracy.py --scratch build/exports [--size 224] [--images 10000]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rescue_scenario import (  # beside this file
    accuracy,
    calibration_images,
    dpu_logits,
    pixels,
    prepare,
    transfer_model,
)

from softdpu.export.run import open_runner
from softdpu.export.source import read_source
from softdpu.export.write import Export
from softdpu.keras2.api import keras
from softdpu.output.progress import tqdm
from softdpu.quantizer import vitis_quantize

BATCH = 50
SUFFIX = {"xint8": "onnx", "vint8": "onnx", "tflite": "tflite"}


def make_quantized(scratch: Path, size: int) -> Path:
    """Return the .h5 of the quantized network, kept in the folder `scratch`."""
    path = scratch / f"quantized-{size}.h5"
    if not path.exists():
        model = transfer_model(scratch, size)
        quantizer = vitis_quantize.VitisQuantizer(model, recipe="rescue")
        quantizer.quantize_model(calib_dataset=calibration_images(0, size)).save(path)
    return path


def run_export(path: Path, images: np.ndarray, size: int) -> np.ndarray:
    """Return the outputs of an exported file, float32[n, classes]."""
    runner, outputs = open_runner(path), []
    for start in tqdm(range(0, len(images), BATCH), desc=path.name):
        scores: Any = runner.run([prepare(images[start : start + BATCH], size)])[0]
        outputs.append(scores.reshape(len(scores), -1))
    return np.concatenate(outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for models and files")
    parser.add_argument("--size", type=int, default=224, help="of the input, in pixels (default: 224)")
    parser.add_argument("--images", type=int, default=10000, help="test images (default: 10000)")
    args = parser.parse_args()
    images, labels = pixels("val")
    images = images[: args.images]
    model = make_quantized(args.scratch, args.size)
    quantized, source = keras.models.load_model(model, compile=False), read_source(model)
    parts = [dpu_logits(quantized, images[at : at + 500], args.size) for at in range(0, len(images), 500)]
    dpu = np.concatenate(parts)
    print(f"MobileNet 1.0 at {args.size} x {args.size}, {len(images)} images", flush=True)
    print(f"  software DPU {accuracy(dpu, labels):6.2f} %", flush=True)
    for form, suffix in SUFFIX.items():
        path = args.scratch / f"mobilenet-{args.size}.{form}.{suffix}"
        Export(source, form, path)
        found = run_export(path, images, args.size)
        different = int((found != dpu).sum())
        print(f"  {form:12} {accuracy(found, labels):6.2f} %, {different} of {dpu.size} outputs differ", flush=True)


if __name__ == "__main__":
    main()
