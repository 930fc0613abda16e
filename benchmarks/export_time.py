"""How long an export takes, in each format: MobileNet v1 0.25 at 64 x 64 (the default network) and 1.0 at 224 x 224.

Prints wall and processor seconds of `softdpu export`, its start and imports included. Weights are random unless
--weights names a file for the larger network without its head, as keras.applications takes it.

Example:
    python benchmarks/export_time.py
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np

from softdpu.export.write import FORMATS, SUFFIXES
from softdpu.keras2.api import keras
from softdpu.quantizer.vitis_quantize import VitisQuantizer

_PROGRAM = "from softdpu.commands.main import main; raise SystemExit(main())"
_NETWORKS = ((0.25, 64, 10), (1.0, 224, 1000))


def quantized(path: Path, alpha: float, size: int, classes: int, weights: str | None) -> None:
    """Write a quantized MobileNet."""
    keras.utils.set_random_seed(0)
    body = keras.applications.MobileNet((size, size, 3), alpha, include_top=False, weights=weights, pooling="avg")
    model = keras.Model(body.input, keras.layers.Dense(classes)(body.output))
    images = np.random.default_rng(0).uniform(-1, 1, (4, size, size, 3)).astype(np.float32)
    VitisQuantizer(model).quantize_model(calib_dataset=images).save(path)


def seconds(command: list[str]) -> tuple[float, float]:
    """Return the wall and processor seconds of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="file with weights of MobileNet 1.0 at 224 x 224")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for alpha, size, classes in _NETWORKS:
            model = Path(folder) / f"mobilenet_{alpha}_{size}.h5"
            quantized(model, alpha, size, classes, args.weights if size == 224 else None)
            for form in FORMATS:
                output = model.with_suffix(f".{form}{SUFFIXES[form]}")
                command = [sys.executable, "-c", _PROGRAM, "export", str(model), "--format", form]
                wall, processor = seconds([*command, "-o", str(output)])
                print(
                    f"MobileNet {alpha} at {size} x {size}, {form}: {wall:.1f} s, {processor:.1f} s of a processor, "
                    f"{output.stat().st_size / 1e6:.1f} MB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
