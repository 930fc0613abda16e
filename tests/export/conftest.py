"""One small network with the layers of MobileNets and ResNets, quantized once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softdpu.export.source import Source, read_source


def small_network(keras: Any) -> Any:
    layers = keras.layers
    image = layers.Input((14, 14, 3), name="image")
    x = layers.ReLU(6.0, name="stem_relu")(layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(image))
    y = layers.ReLU(6.0, name="depth_relu")(layers.DepthwiseConv2D(3, padding="same", name="depth")(x))
    y = layers.Conv2D(8, 1, name="point")(y)
    x = layers.ReLU(name="sum_relu")(layers.Add(name="sum")([x, y]))
    x = layers.LeakyReLU(0.1, name="leaky_relu")(layers.Conv2D(6, 3, name="leaky")(x))
    x = layers.Concatenate(name="join")(
        [layers.MaxPooling2D(2, 1, name="largest")(x), layers.AveragePooling2D(2, 1)(x)]
    )
    x = layers.Flatten(name="flat")(layers.Conv2D(4, 2, activation="sigmoid", name="gate")(x))
    return keras.Model(image, layers.Dense(5, name="logits")(x))


@pytest.fixture(scope="session")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras = pytest.importorskip("tf_keras")
    from softdpu.quantizer.vitis_quantize import VitisQuantizer

    keras.utils.set_random_seed(3)
    model = small_network(keras)
    images = np.random.default_rng(0).normal(0, 1, (16, 14, 14, 3)).astype(np.float32)
    folder = tmp_path_factory.mktemp("export")
    model.save(folder / "float.h5")
    path = folder / "small.h5"
    VitisQuantizer(model).quantize_model(calib_dataset=images).save(path)
    return path


@pytest.fixture(scope="session")
def source(quantized: Path) -> Source:
    return read_source(quantized)
