"""Time of a quantization-aware training step against the float model's, in the same run.

    python benchmarks/quantizer_qat_step.py [--strategy pof2s_tqt] [--steps 8] [--rounds 5]

MobileNet v1 0.25 at 64x64, batch 128, Adam. The goal is a ratio of at most 1.5.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras as keras

from softdpu.quantizer import vitis_quantize

BATCH = 128


def compiled(model: keras.Model) -> keras.Model:
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def seconds_a_step(model: keras.Model, data: tf.data.Dataset, steps: int) -> tuple[float, float]:
    """Return wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(data, epochs=1, verbose=0)
    return (time.perf_counter() - wall) / steps, (time.process_time() - cpu) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", default="pof2s", choices=("pof2s", "pof2s_tqt"))
    parser.add_argument("--steps", type=int, default=8, help="training steps in a measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each model, of which the best counts")
    arguments = parser.parse_args()

    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (BATCH * arguments.steps, 64, 64, 3)).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((images, rng.integers(0, 10, len(images)))).batch(BATCH)
    float_model = keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, classes=10, classifier_activation=None)
    quantizer = vitis_quantize.VitisQuantizer(float_model, quantize_strategy=arguments.strategy)
    start = time.process_time()
    qat_model = quantizer.get_qat_model(init_quant=True, calib_dataset=images[:256])
    print(f"build with init_quant, 256 images: {time.process_time() - start:.1f} s of processor time")

    models = {"float": compiled(float_model), "QAT": compiled(qat_model)}
    for name, model in models.items():
        start = time.process_time()
        model.fit(data, epochs=1, verbose=0)
        print(f"{name}: first epoch with tracing {time.process_time() - start:.1f} s of processor time")
    best = dict.fromkeys(models, (1e9, 1e9))
    for _ in range(arguments.rounds):
        for name, model in models.items():
            found = seconds_a_step(model, data, arguments.steps)
            best[name] = (min(best[name][0], found[0]), min(best[name][1], found[1]))
    for name, (wall, cpu) in best.items():
        print(f"{name}: {1e3 * wall:.0f} ms per step, {1e3 * cpu:.0f} ms of processor time")
    wall, cpu = (best["QAT"][index] / best["float"][index] for index in (0, 1))
    print(f"ratio QAT / float: {wall:.2f} (wall), {cpu:.2f} (processor)")


if __name__ == "__main__":
    main()
