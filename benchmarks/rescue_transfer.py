"""Accuracy and time of post-training quantization: AMD's recipe, `rescue`, and `rescue` with learned rounding.

Two networks: the transfer scenario (see rescue_scenario.py) and a small MobileNet trained from scratch. Quantized
networks are compiled, and their accuracy is that of the runtime, which computes what a DPU does. Float accuracies and
features are kept in the scratch folder, so that a second run takes minutes.

python benchmarks/rescue_transfer.py --scratch build/rescue                    # all 10,000 test images
python benchmarks/rescue_transfer.py --scratch build/rescue --draws 5 --images 1000
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras
from rescue_scenario import (  # beside this file
    GOLDEN,
    accuracy,
    calibration_images,
    dpu_logits,
    features,
    pixels,
    transfer_model,
)

from softdpu.quantizer import vitis_quantize

RECIPES = ("vitis", "rescue", "rescue+learned_rounding")


def run(model: Any, size: int, recipe: str, draw: int, test: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return (accuracy in per cent, seconds of quantization)."""
    images = calibration_images(draw, size)
    start = time.perf_counter()
    quantized = vitis_quantize.VitisQuantizer(model, recipe=recipe).quantize_model(calib_dataset=images)
    seconds = time.perf_counter() - start
    return accuracy(dpu_logits(quantized, test, size), labels), seconds


def compare(name: str, model: Any, size: int, args: argparse.Namespace) -> None:
    """Print one network's accuracies, each as the difference to float."""
    test, labels = pixels("val")
    outputs = features(model, test, size, args.scratch / f"logits-{name}.npy")[: args.images]
    target = accuracy(outputs, labels)
    print(f"{name}: float {target:.2f} % on {len(outputs)} images")
    for recipe in args.recipes:
        runs = [run(model, size, recipe, draw, test[: args.images], labels) for draw in range(args.draws)]
        found = [value for value, _ in runs]
        low, middle, high = min(found), statistics.median(found), max(found)
        print(
            f"  {recipe:24} min {low:.2f} ({low - target:+.2f})  median {middle:.2f} ({middle - target:+.2f})  max "
            f"{high:.2f} ({high - target:+.2f})  {statistics.median(s for _, s in runs):.1f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the float model and its outputs")
    parser.add_argument("--images", type=int, default=10000, help="test images (default: 10000)")
    parser.add_argument("--draws", type=int, default=1, help="draws of calibration images (default: 1)")
    parser.add_argument("--networks", nargs="+", default=["transfer", "golden"], choices=["transfer", "golden"])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    args = parser.parse_args()
    args.scratch.mkdir(parents=True, exist_ok=True)
    if "transfer" in args.networks:
        compare("transfer", transfer_model(args.scratch), 128, args)
    if "golden" in args.networks:
        compare("golden", keras.models.load_model(GOLDEN / "float_model.h5", compile=False), 64, args)


if __name__ == "__main__":
    main()
