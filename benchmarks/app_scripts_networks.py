"""The networks and images that AMD's tutorial apps are run with: small ones of the kinds that the tutorials train.

Weights are random: what is compared are the numbers of the DPU and of the Keras model, not an accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from softdpu.keras2.api import keras, tf

L = keras.layers


@keras.utils.register_keras_serializable(package="app_scripts")
class Sampling(keras.layers.Layer):
    """A random vector around the first input; the second is the logarithm of its variance."""

    def call(self, inputs: Any) -> Any:
        """Draw around the mean."""
        mean, log_variance = inputs
        return mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean))


def _conv(x: Any, filters: int, strides: int = 1, kernel: Any = 3) -> Any:
    x = L.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    return L.ReLU()(L.BatchNormalization()(x))


def plain(shape: tuple[int, int, int], classes: int) -> Any:
    """Convolutions, pooling, two Dense."""
    x = image = L.Input(shape)
    for filters in (16, 32, 48):
        x = _conv(x, filters, 2)
    x = L.Flatten()(L.MaxPooling2D()(x))
    return keras.Model(image, L.Dense(classes)(L.Dense(24, activation="relu")(x)))


def dense_blocks(shape: tuple[int, int, int], classes: int) -> Any:
    """A DenseNet of two blocks."""
    image = L.Input(shape)
    x = _conv(image, 16)
    for _ in range(2):
        for _ in range(3):
            x = L.Concatenate()([x, _conv(x, 8)])
        x = L.AveragePooling2D()(_conv(x, 24, kernel=1))
    return keras.Model(image, L.Dense(classes)(L.GlobalAveragePooling2D()(x)))


def inception(shape: tuple[int, int, int], classes: int) -> Any:
    """Two inception modules behind a stem."""
    image = L.Input(shape)
    x = _conv(image, 16, 2)
    x = L.MaxPooling2D(3, 2, "same")(_conv(x, 16, 2) if shape[0] > 64 else x)
    for filters in (8, 16):
        branches = [_conv(x, filters, kernel=1), _conv(_conv(x, filters, kernel=1), filters)]
        branches += [_conv(x, filters, kernel=5), _conv(L.MaxPooling2D(3, 1, "same")(x), filters, kernel=1)]
        x = L.MaxPooling2D()(L.Concatenate()(branches))
    return keras.Model(image, L.Dense(classes)(L.GlobalAveragePooling2D()(x)))


def segments(shape: tuple[int, int, int], classes: int) -> Any:
    """An FCN: a class for each pixel, from two resolutions."""
    image = L.Input(shape)
    x = _conv(_conv(image, 8, 2), 16, 2)
    deep = L.Conv2DTranspose(classes, 4, strides=2, padding="same")(_conv(x, 24, 2))
    x = L.Add()([deep, L.Conv2D(classes, 1)(x)])
    return keras.Model(image, L.Conv2DTranspose(classes, 8, strides=4, padding="same")(x))


def signal(shape: tuple[int, int, int], classes: int) -> Any:
    """Convolutions over time; the result is an image of one pixel."""
    x = image = L.Input(shape)
    for filters in (16, 24, 32):
        x = L.MaxPooling2D((4, 1))(_conv(x, filters, kernel=(5, 1)))
    x = L.AveragePooling2D((x.shape[1], 2))(x)
    return keras.Model(image, L.Conv2D(classes, 1)(x))


def autoencoder(shape: tuple[int, int, int], classes: int) -> Any:
    """A variational autoencoder with the layer names of AMD's, `classes` numbers in the middle."""
    x = image = L.Input(shape, name="input_3")
    for strides in (1, 2, 2):
        x = _conv(x, 16, strides)
    before = x.shape[1:]
    x = L.Flatten()(x)
    x = Sampling(name="sampling")([L.Dense(classes, name="dense")(x), L.Dense(classes, name="dense_1")(x)])
    x = L.Reshape(before)(L.Dense(int(np.prod(before)), name="dense_2")(x))
    for number, strides in enumerate((1, 2, 2)):
        x = L.Conv2DTranspose(16, 3, strides=strides, padding="same", name=f"conv2d_transpose_{number}")(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Conv2DTranspose(1, 3, padding="same", name="conv2d_transpose_3")(x)
    return keras.Model(image, L.ReLU(6.0)(x + 3.0) * (1.0 / 6.0))


def mobilenet(shape: tuple[int, int, int], classes: int) -> Any:
    """MobileNet v1 0.25 with a Dense on its mean, as in the tutorial of fine-tuning."""
    body = keras.applications.MobileNet(shape, 0.25, include_top=False, weights=None, pooling="avg")
    return keras.Model(body.input, L.Dense(classes)(body.output))


def application(name: str, **config: Any) -> Callable[[tuple[int, int, int], int], Any]:
    """Return a maker of one of Keras' own networks."""
    return lambda shape, classes: getattr(keras.applications, name)(
        input_shape=shape, classes=classes, weights=None, classifier_activation=None, **config
    )


NETWORKS: dict[str, Callable[[tuple[int, int, int], int], Any]] = {
    "customcnn": plain,
    "densenet": dense_blocks,
    "inception": inception,
    "fcn": segments,
    "signal": signal,
    "autoencoder": autoencoder,
    "mobilenet": mobilenet,
    "mobilenet v2": application("MobileNetV2", alpha=0.35),
    "resnet50": application("ResNet50"),
}


def build(network: str, shape: tuple[int, int, int], classes: int) -> Any:
    """Return the float model with random weights, the same at each call."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(11)
    return NETWORKS[network](shape, classes)


def draw(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return smooth random pictures, uint8[count, rows, columns, channels], the same at each call."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (count, 6, 6, shape[2])).astype(np.uint8)
    large = [cv2.resize(picture, shape[1::-1], interpolation=cv2.INTER_CUBIC) for picture in small]
    noise = rng.normal(0, 12, (count, *shape))
    return np.clip(np.stack(large).reshape(count, *shape) + noise, 0, 255).astype(np.uint8)


def write_images(folder: Path, images: np.ndarray, name: Callable[[int], str]) -> None:
    """Write the pictures as files called `name(number)`."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        cv2.imwrite(str(folder / name(number)), image)
