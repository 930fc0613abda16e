"""Time of post-training quantization against plain inference of the float model on the same images, in the same run.

    python benchmarks/quantizer_ptq.py [MODEL.h5] [--images 256]

Without a model: MobileNet v1 0.25 at 64x64. The goal is at most 5 s for 256 images in 8 batches on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tf_keras as keras

from softdpu.quantizer import vitis_quantize

BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a float Keras model with one image input")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3, help="the first one also pays for what Keras sets up once")
    arguments = parser.parse_args()
    if arguments.model:
        model = keras.models.load_model(arguments.model, compile=False)
    else:
        model = keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, classes=10, classifier_activation=None)
    shape = (arguments.images, *model.input_shape[1:])
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    for number in range(arguments.rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        vitis_quantize.VitisQuantizer(model).quantize_model(calib_dataset=images, calib_batch_size=BATCH)
        quantized = time.perf_counter() - wall, time.process_time() - cpu
        wall = time.perf_counter()
        for at in range(0, len(images), BATCH):
            model(images[at : at + BATCH])
        plain = time.perf_counter() - wall
        print(
            f"round {number + 1}: quantization {quantized[0]:.2f} s ({quantized[1]:.2f} s of processor time), "
            f"float inference {plain:.2f} s, ratio {quantized[0] / plain:.1f}"
        )


if __name__ == "__main__":
    main()
