"""One worker of a training on several: a small float network through softdpu.training; the chief writes what it learnt.

Run by test_devices.py, with TF_CONFIG set for each worker, or alone. Also the command that fine-tunes the network.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from softdpu.commands import options
from softdpu.output.cli import program
from softdpu.output.files import write_json
from softdpu.training import common, hyperparameters, setup
from softdpu.training.batches import keras
from softdpu.training.fit import fit, save

ROOT = Path(__file__).parents[2]


def finetune_command(colours: Path, folder: Path) -> list[str]:
    """Return the command that fine-tunes float.h5 of the records' folder and writes everything into another one."""
    return [
        sys.executable, "scripts/finetune.py", "--model", f"{colours}/float.h5", "--train-records", f"{colours}/train",
        "--val-records", f"{colours}/val", "--output", f"{folder}/quant_ft.h5", "--checkpoints", f"{folder}/checkpoint",
        "--calib-images", "40", "--epochs", "4", "--batch-size", "20", "--learning-rate", "0.05", "--threads", "1",
        "--augment-flip",
    ]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """What the workers must agree on."""

    data: common.Data
    hyperparameters: hyperparameters.Hyperparameters
    surroundings: setup.Surroundings


class Losses(keras.callbacks.Callback):
    """Keeps the loss of each step: Keras tells the mean of the epoch's so far, weighted by images."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.steps: list[float] = []
        self._sizes, self._before = sizes, 0.0

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        total = logs["loss"] * sum(self._sizes[: batch + 1])
        self.steps.append((total - (self._before if batch else 0.0)) / self._sizes[batch])
        self._before = total


def network() -> keras.Model:
    """Return a network with the layers of MobileNet, whose BatchNormalization sees one device's part or the batch."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(image)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(momentum=0.8)(x))
    x = keras.layers.DepthwiseConv2D(3, strides=2, use_bias=False)(x)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization(momentum=0.8)(x))
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))


@program
def main() -> None:
    """Train, and write losses.json and model.h5 into the folder --output."""
    parser = argparse.ArgumentParser(description=__doc__)
    options.add_data(parser)
    parser.add_argument("--output", required=True)
    options.add_surroundings(parser)
    options.add_hyperparameters(parser, hyperparameters.Hyperparameters())
    args = parser.parse_args()
    numbers, where, on = options.read_hyperparameters(args), options.read_data(args), options.read_surroundings(args)
    how = setup.begin(Training(where, numbers, on), numbers, on)
    model = network()
    data = common.train_batches(where, 32, None, numbers)
    losses = Losses([data.part(i)[2] for i in range(len(data))])
    curves = fit(model, data, common.val_batches(where, 32, None, 1), numbers, setup=how, callbacks=[losses])
    if how.devices.chief:
        save(model, args.output + "/model.h5")
        write_json(args.output + "/losses.json", {"steps": losses.steps, "curves": curves})
    how.end()


if __name__ == "__main__":
    raise SystemExit(main())
