"""Time of a training step through the product, over the bare compiled step in the same process.

    python benchmarks/train_step.py [--size 48] [--batch 64] [--steps 40] [--threads 1]

MobileNet v1 0.25 from records that are drawn here, float and with fake quantization. The bare step is the same compiled
function on one batch that lies in memory. The goals: a ratio of at most 1.10 in processor time, and at most 5 % of it
the system's.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import resource
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from softdpu.dataset import example, tfrecord
from softdpu.quantizer import vitis_quantize
from softdpu.training.batches import KerasBatches, keras, make_repeatable, tf
from softdpu.training.fit import fit, make_optimizer
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.model import build_mobilenet
from softdpu.training.tasks.classification import cross_entropy


@dataclasses.dataclass(frozen=True)
class Use:
    """Processor time of this process in seconds, and its page faults."""

    user: float
    system: float
    faults: int

    def __sub__(self, other: Use) -> Use:
        return Use(self.user - other.user, self.system - other.system, self.faults - other.faults)


def now() -> Use:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Use(used.ru_utime, used.ru_stime, used.ru_minflt)


class Watch(keras.callbacks.Callback):
    """Notes the use at the begin of each epoch and at the end of its last step; the first epoch builds the graph."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.epochs: list[Use] = []
        self._steps = steps

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Start with the second step."""
        if batch == 1:  # the validation's graph and the epoch's callbacks are no part of a step
            self._start = now()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """End with the last."""
        if batch == self._steps - 1:
            self.epochs.append(now() - self._start)


def write_records(folder: Path, images: int) -> None:
    random = np.random.default_rng(0)
    with open(folder / "data_0.tfrecord", "wb") as file:
        for i in range(images):
            data = cv2.imencode(".jpg", cv2.resize(random.integers(0, 256, (7, 7, 3), np.uint8), (28, 28)))[1]
            tfrecord.append(file, example.encode(example.Record(i % 10, 28, 28, 3, data.tobytes())))


def measure_bare(model: Any, hyperparameters: Hyperparameters, batch: tuple, steps: int) -> Use:
    model.compile(make_optimizer(hyperparameters), cross_entropy(0.0), metrics=["accuracy"])
    step = tf.function(lambda images, labels: model.train_step((images, labels)))
    images, labels = map(tf.constant, batch)
    for _ in range(3):
        step(images, labels)
    start = now()
    for _ in range(steps):
        step(images, labels)
    return now() - start


def report(name: str, bare: Use, product: Use, steps: int) -> None:
    for what, use in (("bare step", bare), ("through the product", product)):
        print(
            f"{name}, {what}: {1000 * use.user / steps:.1f} ms user, {1000 * use.system / steps:.1f} ms system,"
            f" {use.faults / steps:.0f} page faults"
        )
    ratio = (product.user + product.system) / (bare.user + bare.system)
    print(
        f"{name}: ratio {ratio:.2f} (goal 1.10), system {100 * product.system / product.user:.1f} % of user (goal 5 %)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=48, help="of the input, in pixels (default: 48)")
    parser.add_argument("--batch", type=int, default=64, help="images per step (default: 64)")
    parser.add_argument("--steps", type=int, default=40, help="steps that are measured (default: 40)")
    parser.add_argument("--threads", type=int, default=1, help="threads to compute with (default: 1)")
    args = parser.parse_args()
    make_repeatable(1, args.threads)
    hyperparameters = Hyperparameters(epochs=2, batch_size=args.batch)
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder), args.batch * (args.steps + 1))
        data = KerasBatches(folder, args.size, args.batch, seed=1, threads=args.threads)
        val = KerasBatches(folder, args.size, args.batch, images=args.batch, threads=args.threads)
        float_model = build_mobilenet(10, args.size, 0.25)
        quantizer = vitis_quantize.VitisQuantizer(float_model)
        qat_model = quantizer.get_qat_model(init_quant=True, calib_dataset=data.part(0)[0])
        for name, model in (("float", float_model), ("QAT", qat_model)):
            bare = measure_bare(model, hyperparameters, data.part(0)[:2], args.steps)
            watch = Watch(len(data))
            with redirect_stdout(io.StringIO()):
                fit(model, data, val, hyperparameters, callbacks=[watch])
            report(name, bare, watch.epochs[-1], args.steps)


if __name__ == "__main__":
    main()
