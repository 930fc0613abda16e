"""Write models with Keras 3, and what they predict; it runs in a process of its own, because the tests run Keras 2.

python make_keras3_models.py FOLDER: the residual network of colours is trained on FOLDER/images, if that is there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "0"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

layers = keras.layers


def branched() -> keras.Model:
    """Nested models, arithmetic, a separable convolution, an addition: what Keras 3 writes differently."""
    image = keras.Input((32, 32, 3))
    x = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augmentation")(image)
    x = (x / 127.5) - 1
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    x = shortcut = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x) + shortcut
    inner = keras.Input((32, 32, 8))
    y = layers.BatchNormalization()(layers.SeparableConv2D(12, 3, strides=2)(inner))
    base = keras.Model(inner, layers.LeakyReLU(negative_slope=0.1)(y), name="base")
    base.trainable = False
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(base(x, training=False)))
    return keras.Model(image, layers.Dense(3, activation="softmax")(x))


def grey() -> keras.Model:
    """Grey images, scaled by the network itself."""
    parts = [keras.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, activation="relu")]
    return keras.Sequential([*parts, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3), layers.Softmax()])


def normalized() -> keras.Model:
    """Adapted normalization, a size that the file leaves open, one output for two classes."""
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(1).integers(0, 200, (50, 8, 8, 3)).astype("float32"))
    image = keras.Input((None, None, 3))
    x = layers.GlobalMaxPooling2D()(layers.Conv2D(6, 3, strides=2, activation="relu")(norm(image)))
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def residual(images: Path) -> keras.Model:
    """A small residual network, trained for a moment on a folder of images."""
    image = keras.Input((32, 32, 3))
    x = layers.Rescaling(1 / 255)(image)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, strides=2, padding="same")(x)))
    y = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(x)))
    y = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(8, 3, padding="same")(y))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, y])))
    model = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    data = keras.utils.image_dataset_from_directory(images / "train", image_size=(32, 32), batch_size=16, verbose=False)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.optimizer.learning_rate = 0.02
    model.fit(data, epochs=6, verbose=0)
    return model


class Subclassed(keras.Model):
    """Layers that only its own code knows."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs):
        return self.dense(layers.Flatten()(inputs))


def bad(folder: Path) -> None:
    """Files that are no classifier of images."""
    image = keras.Input((32, 32, 3))
    flat = layers.Flatten()(image)
    keras.Model(image, layers.Conv2D(3, 1)(image)).save(folder / "image_out.keras")
    keras.Model(image, [layers.Dense(3)(flat), layers.Dense(2)(flat)]).save(folder / "two_outputs.keras")
    keras.Model(image, layers.Dense(3)(layers.Lambda(lambda x: x * 2)(flat))).save(folder / "lambda.keras")
    keras.Model(image, layers.Dense(3)(keras.ops.tanh(flat))).save(folder / "operation.keras")
    vector = keras.Input((10,))
    keras.Model(vector, layers.Dense(3)(vector)).save(folder / "vector.keras")
    subclassed = Subclassed()
    subclassed(np.zeros((1, 8, 8, 3)))
    subclassed.save(folder / "subclassed.keras")
    keras.Model(image, layers.Dense(3)(flat)).save_weights(folder / "only.weights.h5")


def main(folder: Path) -> None:
    """Write all of them."""
    keras.utils.set_random_seed(1)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    np.save(folder / "pixels.npy", pixels)
    predicted = {}
    for name, model, images in (
        ("branched", branched(), pixels),
        ("grey", grey(), pixels[:, :28, :28, :1]),
        ("normalized", normalized(), pixels),
    ):
        for layer in model._flatten_layers():
            if isinstance(layer, layers.BatchNormalization):  # statistics that are not those of a new layer
                layer.set_weights([w + 0.1 * (i + 1) for i, w in enumerate(layer.get_weights())])
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        predicted[name] = model.predict(images, verbose=0)
    np.savez(folder / "predicted.npz", **predicted)
    bad(folder)
    if (folder / "images").is_dir():
        residual(folder / "images").save(folder / "residual.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
