"""What a model file says of itself is checked before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from softdpu.errors import SoftdpuError
from softdpu.own_model.plan import check_file
from softdpu.training.batches import keras


def functional(shape: tuple, classes: int) -> keras.Model:
    image = keras.Input(shape)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Dense(classes)(keras.layers.Dropout(0.1)(x))))


def sequential(shape: tuple, classes: int) -> keras.Model:
    layers = [keras.layers.Conv2D(4, 3, input_shape=shape), keras.layers.GlobalAveragePooling2D()]
    return keras.Sequential([*layers, keras.layers.Dense(classes, activation="softmax")])


def nested(shape: tuple, classes: int) -> keras.Model:
    image = keras.Input(shape)
    return keras.Model(image, functional(shape, classes)(image))


@pytest.mark.parametrize("make", [functional, sequential, nested])
def test_classes_and_shapes_are_checked_at_planning(tmp_path: Path, make: object) -> None:
    path = tmp_path / "model.h5"
    make((32, 32, 3), 7).save(str(path))
    check_file(path, "classification", 7)
    check_file(path, "classification", None)
    with pytest.raises(SoftdpuError, match=r"model.h5 says 7 classes, the data has 10 \(dataset\).*model\.file"):
        check_file(path, "classification", 10)
    make((32, 24, 5), 7).save(str(path))
    with pytest.raises(SoftdpuError, match=r"takes \(32, 24, 5\); expected one image"):
        check_file(path, "classification", 7)


def test_what_the_names_do_not_say_is_left_to_the_import(tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    keras.Model(image, keras.layers.Conv2D(4, 3)(image)).save(str(tmp_path / "model.h5"))
    check_file(tmp_path / "model.h5", "classification", 10)
    two = keras.Sequential([keras.layers.Flatten(input_shape=(8, 8, 1)), keras.layers.Dense(1)])
    two.save(str(tmp_path / "two.h5"))
    check_file(tmp_path / "two.h5", "classification", 2)
