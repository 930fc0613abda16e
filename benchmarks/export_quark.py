"""Our vint8 file, made by rescue without training, against AMD Quark's XINT8 and VINT8, default and with AdaRound.

One run, one float model, the same unlabelled calibration images and the same test images; every file runs in
onnxruntime. Times are seconds of a processor, all threads together, from the float model to the file, without imports:
what else the machine does is not in them. Quark is started in an environment of its own: envs/quark.txt says how to
make it.

SOFTDPU_QUARK_PYTHON=quark/bin/python python benchmarks/export_quark.py --scratch build/quark --images 1000
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from export_accuracy import run_export  # beside this file
from rescue_scenario import GOLDEN, accuracy, calibration_images, pixels, transfer_model  # beside this file

from softdpu.export.source import read_source
from softdpu.export.write import Export
from softdpu.keras2.api import keras
from softdpu.quantizer import vitis_quantize

QUARK = ("XINT8", "VINT8", "XINT8_ADAROUND", "VINT8_ADAROUND")


def float_onnx(model: Any, path: Path, size: int) -> None:
    """Write the float model as the NCHW ONNX that Quark is given."""
    import tensorflow as tf
    import tf2onnx

    signature = (tf.TensorSpec((None, size, size, 3), tf.float32, name="image"),)
    tf2onnx.convert.from_keras(model, signature, opset=17, inputs_as_nchw=["image"], output_path=str(path))


def rescued(model: Any, images: np.ndarray, folder: Path) -> tuple[Path, float]:
    """Return our vint8 file and the processor seconds from the float model to it."""
    start = time.process_time()
    quantized = vitis_quantize.VitisQuantizer(model, recipe="rescue").quantize_model(calib_dataset=images)
    quantized.save(folder / "rescued.h5")
    Export(read_source(folder / "rescued.h5"), "vint8", folder / "rescued.onnx")
    return folder / "rescued.onnx", time.process_time() - start


def quark(python: str, recipe: str, source: Path, images: Path, output: Path) -> float:
    """Run one recipe of Quark and return its processor seconds, without those that its start takes."""
    worker = Path(__file__).with_name("export_quark_worker.py")
    command = [python, str(worker.resolve()), *map(str, (source, images)), recipe, str(output)]
    done = subprocess.run(command, cwd=output.parent, capture_output=True, text=True)  # where Quark leaves its tables
    if done.returncode:
        sys.exit(f"Quark's {recipe} failed: {done.stderr[-800:]}")
    return float(done.stdout.rsplit("seconds:", 1)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for models and files")
    parser.add_argument("--network", choices=("golden", "transfer"), default="transfer", help="see rescue_transfer.py")
    parser.add_argument("--images", type=int, default=10000, help="test images (default: 10000)")
    parser.add_argument("--recipes", nargs="+", default=list(QUARK), choices=QUARK)
    args = parser.parse_args()
    python = os.environ.get("SOFTDPU_QUARK_PYTHON")
    if not python:
        sys.exit("SOFTDPU_QUARK_PYTHON must name the Python of an environment with amd-quark: see envs/quark.txt")
    args.scratch = args.scratch.resolve()
    args.scratch.mkdir(parents=True, exist_ok=True)
    if args.network == "transfer":
        size, model = 128, transfer_model(args.scratch)
    else:
        size, model = 64, keras.models.load_model(GOLDEN / "float_model.h5", compile=False)
    test, labels = pixels("val")
    test, labels = test[: args.images], labels[: args.images]
    calibration = calibration_images(0, size)
    source, images = args.scratch / "float.onnx", args.scratch / "images.npy"
    float_onnx(model, source, size)
    np.save(images, np.ascontiguousarray(calibration.transpose(0, 3, 1, 2)))
    target = accuracy(run_export(source, test, size), labels)
    print(f"{args.network}: float {target:.2f} % on {len(test)} images, {len(calibration)} unlabelled for calibration")
    ours, seconds = rescued(model, calibration, args.scratch)
    found = accuracy(run_export(ours, test, size), labels)
    print(f"  {'softdpu rescue, vint8':24} {found:6.2f} % ({found - target:+.2f})  {seconds:7.1f} s", flush=True)
    for recipe in args.recipes:
        output = args.scratch / f"{recipe.lower()}.onnx"
        needed = quark(python, recipe, source, images, output)
        value = accuracy(run_export(output, test, size), labels)
        ratio = f"{needed / seconds:.1f} times ours"
        print(f"  {'Quark ' + recipe:24} {value:6.2f} % ({value - target:+.2f})  {needed:7.1f} s, {ratio}", flush=True)


if __name__ == "__main__":
    main()
