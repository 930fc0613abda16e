"""Damaged model files (.h5, .keras): loaded by Keras, imported as one's own model, read by the compiler."""

from __future__ import annotations

import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mutate import mutate_bytes, mutate_value
from workers import Door, judge, run

from softdpu.compiler.inspector import inspect_model
from softdpu.errors import SoftdpuError
from softdpu.keras2 import door
from softdpu.keras2.api import keras
from softdpu.numbers import boards
from softdpu.own_model import load as own_load
from softdpu.own_model import model_file


def _net() -> Any:
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1, name="scale")(image)
    x = layers.Conv2D(4, 3, padding="same", name="conv", kernel_regularizer="l2")(x)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.ReLU(6.0, name="relu")(x)
    x = layers.Add(name="add")([y, layers.DepthwiseConv2D(3, padding="same", name="depth")(y)])
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.MaxPooling2D(2, name="pool")], name="inner")
    x = layers.GlobalAveragePooling2D(name="mean")(inner(x))
    return keras.Model(image, layers.Dense(2, name="logits", activation="softmax")(layers.Dropout(0.1)(x)))


SEEDS: dict[str, bytes] = {}


def _prepare(folder: Path) -> None:
    model = _net()
    for ending in ("h5", "keras"):
        path = folder / f"seed.{ending}"
        model.save(str(path))
        SEEDS[ending] = path.read_bytes()
        assert door.load_model(path).output_shape == (None, 2)
        own_load.load(model_file.read(path), 8)
    inspect_model(folder / "seed.h5", boards.find_target("zcu102"))


def _make(rng: random.Random, folder: Path) -> tuple[Path, int]:
    ending = rng.choice(("h5", "h5", "keras"))
    path = folder / f"model.{ending}"
    kind = rng.randrange(4)
    if kind == 0:
        path.write_bytes(mutate_bytes(SEEDS[ending], rng))
    elif ending == "h5":
        path.write_bytes(SEEDS["h5"])
        with h5py.File(path, "r+") as file:
            _change_h5(rng, file, weights=kind == 1)
    else:
        _change_archive(rng, path)
    return path, rng.randrange(3)


def _change_h5(rng: random.Random, file: h5py.File, weights: bool) -> None:
    if not weights:
        file.attrs["model_config"] = json.dumps(_changed(rng, json.loads(file.attrs["model_config"]))).encode()
        return
    names: list[str] = []
    file["model_weights"].visit(names.append)
    name = f"model_weights/{rng.choice(names)}"
    kind = rng.randrange(6)
    if kind == 0 and isinstance(file[name], h5py.Dataset):
        file[name][...] = rng.choice((np.nan, np.inf, -1, 1e38))
        return
    if kind == 1 and file[name].attrs:
        key = rng.choice(sorted(file[name].attrs))
        file[name].attrs[key] = rng.choice((b"x", 5, [b"a", b"b"], [1.5], "x" * 1000, [b"/model_weights"]))
        return
    del file[name]
    odd: tuple[Any, ...] = (h5py.SoftLink("/model_weights"), h5py.ExternalLink("x.h5", "/"), np.zeros((3, 0)), 5.0)
    odd = (*odd, file["model_weights"], np.dtype("f4"), np.zeros((2, 2, 2, 2)), np.bytes_(b"a"))
    if kind < 5:
        file[name] = rng.choice(odd)
    else:
        file.create_dataset(name, (rng.choice((1, 1 << 20, 1 << 40)),), "f4", compression=rng.choice((None, "gzip")))


def _changed(rng: random.Random, config: Any) -> Any:
    for _ in range(rng.randint(1, 3)):
        layers = config["config"]["layers"] if rng.random() < 0.7 and _has_layers(config) else None
        if layers:
            index = rng.randrange(len(layers))
            if rng.random() < 0.2:
                layers[index] = {"class_name": "TimeDistributed", "config": {"layer": layers[index]}}
            elif rng.random() < 0.2:
                other = rng.choice(layers)
                if isinstance(layers[index], dict) and isinstance(other, dict):
                    layers[index]["inbound_nodes"] = [[[other.get("name"), rng.choice((0, 0, 1)), 0, {}]]]
            else:
                layers[index] = mutate_value(layers[index], rng)
        else:
            config = mutate_value(config, rng)
    return config


def _has_layers(config: Any) -> bool:
    try:
        return isinstance(config["config"]["layers"], list) and bool(config["config"]["layers"])
    except (KeyError, TypeError, IndexError):
        return False


def _change_archive(rng: random.Random, path: Path) -> None:
    seed = path.with_name("seed.keras")
    seed.write_bytes(SEEDS["keras"])
    with zipfile.ZipFile(seed) as old, zipfile.ZipFile(path, "w", rng.choice((0, 8, 8, 12, 14))) as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                data = json.dumps(_changed(rng, json.loads(data))).encode()
            elif rng.random() < 0.2:
                data = mutate_bytes(data, rng)
            if rng.random() > 0.03:
                new.writestr(name, data)
    seed.unlink()


def _take(case: tuple[Path, int]) -> None:
    path, way = case
    if way == 0:
        door.load_model(path)
    elif way == 1:
        own_load.load(model_file.read(path), 8)
    else:
        inspect_model(path, boards.find_target("zcu102"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_damaged_model_files_become_one_line(tmp_path: Path) -> None:
    judge(run(Door("model file", _make, _take, lambda: _prepare(tmp_path), (SoftdpuError,), 60), 60))
