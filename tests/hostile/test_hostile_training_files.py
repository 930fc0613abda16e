"""Files that a training reads: weights to start from (model.weights), and the checkpoint of one that was killed."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from mutate import NUMBERS, mutate_bytes, mutate_json, mutate_value
from workers import Door, judge, run

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import keras
from softdpu.training import checkpoints
from softdpu.training.checkpoints import NAME, State, Store
from softdpu.training.model import load_weights

START = {"accuracy": 0.25, "loss": 2.5}
SEEDS: dict[str, bytes] = {}
NETS: list[Any] = []


def small_net() -> Any:
    """Return a compiled network of two layers."""
    layers = [keras.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.BatchNormalization(name="b")]
    net = keras.Sequential(layers)
    net.compile("sgd", "mse")
    return net


def write_checkpoint(folder: Path, net: Any) -> None:
    own = checkpoints.read_values(checkpoints.list_variables(net))
    best = {"accuracy": 0.5, "epoch": 1, "start": START}
    Store(folder, {"seed": "1"}).save(State(2, {"loss": [1.0, 0.5]}, best, net.get_weights(), own))


def _prepare(folder: Path) -> None:
    net = small_net()
    NETS.append(net)
    net.save_weights(str(folder / "seed.h5"))
    SEEDS["weights"] = (folder / "seed.h5").read_bytes()
    write_checkpoint(folder, net)
    SEEDS["checkpoint"] = (folder / NAME).read_bytes()
    load_weights(net, str(folder / "seed.h5"), "a hint")
    assert _resume(folder / NAME) == 2


def _make(rng: random.Random, folder: Path) -> Path:
    if rng.random() < 0.5:
        path = folder / "weights.h5"
        path.write_bytes(SEEDS["weights"] if rng.random() < 0.7 else mutate_bytes(SEEDS["weights"], rng))
        if path.read_bytes() == SEEDS["weights"]:
            _change_weights(rng, path)
        return path
    path = folder / NAME
    if rng.random() < 0.3:
        path.write_bytes(mutate_bytes(SEEDS["checkpoint"], rng))
    else:
        _change_checkpoint(rng, path)
    return path


def _change_weights(rng: random.Random, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        holder = file[rng.choice([name, "/"])]
        if rng.random() < 0.4 and holder.attrs:
            key = rng.choice(sorted(holder.attrs))
            odd = (b"x", 5, [b"a", b"b"], [1.5], "x" * 1000, [b"/a"], [b"a", b"a"], [b"../b"], [b"b", b"a"])
            holder.attrs[key] = rng.choice(odd)
            return
        if isinstance(file[name], h5py.Dataset) and rng.random() < 0.3:
            file[name][...] = rng.choice((np.nan, np.inf, -1, 1e38))
            return
        del file[name]
        links = (h5py.SoftLink("/a"), h5py.ExternalLink("x.h5", "/"), np.dtype("f4"), file["/"])
        odd_values = (np.zeros((3, 0)), 5.0, np.bytes_(b"a"), np.zeros((2, 2, 2), "i8"), np.zeros(3, "c8"))
        file[name] = rng.choice((*links, *odd_values))


def _change_checkpoint(rng: random.Random, path: Path) -> None:
    """Write the checkpoint again with odd arrays, headers, names, packing, or facts of other types."""
    with zipfile.ZipFile(io.BytesIO(SEEDS["checkpoint"])) as old:
        members = {name: old.read(name) for name in old.namelist()}
    about = json.loads(str(np.load(io.BytesIO(SEEDS["checkpoint"]))["about"]))
    name = rng.choice(sorted(members))
    kind = rng.randrange(6)
    if kind < 3:
        text = json.dumps(mutate_value(about, rng)) if kind else mutate_json(about, rng)
        members["about.npy"] = npy(np.array(text))
    elif kind == 3:
        size = rng.choice(("0", "1", "2", f"{1 << 40}", "-3", "1, 1", f"{1 << 40}, {1 << 40}", "1.5", "'a'", "True"))
        odd = rng.choice(("<f4", "|O", ">f8", "<U1", "<c8", "|V8", "f4, f4", "<M8[ns]"))
        members[name] = header(f"{{'descr': '{odd}', 'fortran_order': False, 'shape': ({size},), }}") + bytes(64)
    elif kind == 4:
        odd_array = rng.choice((np.float32(1), np.zeros((0, 3)), np.array("x"), np.arange(9), np.full(3, np.nan)))
        members[name] = npy(np.asarray(odd_array))
    else:
        members.pop(name)
    packing = rng.choice((0, 0, 0, 0, 0, 8, 12, 14))
    with zipfile.ZipFile(path, "w", packing) as new:
        for member, data in members.items():
            new.writestr(member, data)


def header(text: str) -> bytes:
    """Return the start of an .npy with a header of any text."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def npy(array: np.ndarray) -> bytes:
    """Return an array as an .npy."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _resume(path: Path) -> int:
    """Return after which epoch a training would go on; refused where it starts afresh."""
    state = Store(path.parent, {"seed": "1"}).load()
    if state is None or not checkpoints.restore(NETS[0], state):
        raise SoftdpuError("training starts afresh")
    NETS[0].set_weights(state.best_weights)
    return state.epoch


def _take(path: Path) -> None:
    if path.name == NAME:
        _resume(path)
    else:
        load_weights(NETS[0], str(path), "a hint")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_damaged_files_of_a_training_become_one_line(tmp_path: Path) -> None:
    judge(run(Door("training files", _make, _take, lambda: _prepare(tmp_path), (SoftdpuError,), 60), 150))


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "huge", "NaN", "virtual", "name"])
def test_weights_to_start_from_pass_the_door(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("base.ckpt" if kind == "name" else "base.h5")
    with h5py.File(path, "w") as file:
        if kind == "external link":
            file["conv1"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "soft link":
            file["conv1"] = h5py.SoftLink("/")
        elif kind == "external storage":
            file.create_dataset("conv1", (16,), "u1", external=[("/etc/passwd", 0, 16)])
        elif kind == "huge":
            file.create_dataset("conv1", (1 << 40,), "f4", chunks=(1 << 10,))
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource("other.h5", "conv1", (4,))
            file.create_virtual_dataset("conv1", layout)
        else:
            file["conv1"] = np.full(3, np.nan if kind == "NaN" else 1)
    with pytest.raises(
        SoftdpuError, match=r"does not take the weights .*(base\.h5: |\.h5; save them so).*model\.weights"
    ):
        load_weights(small_net(), str(path), "a hint")


@pytest.mark.parametrize("text", [f"({1 << 40},)", f"({1 << 62}, {1 << 62})", "(-1,)"])
def test_an_array_takes_no_more_memory_than_the_checkpoint_has_bytes(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path, small_net())
    with zipfile.ZipFile(tmp_path / NAME, "a") as file:
        file.writestr("more.npy", header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {text}, }}"))
    assert Store(tmp_path, {"seed": "1"}).load() is None
    assert "is damaged" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [0, 1 << 20, (1 << 31) - 1, (1 << 32) - 2])
@pytest.mark.parametrize("unpacked", [0, 64, 1 << 31])
def test_a_member_takes_no_more_memory_than_the_checkpoint_has_bytes(
    tmp_path: Path, packed: int, unpacked: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(tmp_path, small_net())
    data = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(declare(data, packed, unpacked))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert Store(tmp_path, {"seed": "1"}).load() is None
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 100 << 10
    assert "is damaged" in capsys.readouterr().out


def declare(data: bytes, packed: int, unpacked: int) -> bytes:
    """Return a zip whose directory gives its last member other sizes."""
    place = data.rindex(b"PK\x01\x02") + 20
    return data[:place] + struct.pack("<II", packed, unpacked) + data[place + 8 :]


def test_a_packed_checkpoint_is_not_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / NAME, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.npy", bytes(1 << 24))
    assert Store(tmp_path, {}).load() is None
    assert "about.npy is packed" in capsys.readouterr().out


@pytest.mark.parametrize("value", [n for n in NUMBERS if not (isinstance(n, int) and n == 1)])
def test_an_epoch_that_is_no_count_starts_afresh(tmp_path: Path, value: float) -> None:
    store = Store(tmp_path, {})
    store.save(State(value, {"loss": [1.0]}, {"accuracy": 0.5, "epoch": 0, "start": None}, []))  # type: ignore[arg-type]
    assert store.load() is None
