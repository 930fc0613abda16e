"""Inputs that are no image: .npz files, their records, and batches of them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from softdpu.dataset import arrays
from softdpu.dataset.array_batches import ArrayBatches
from softdpu.dataset.make import Choice, make
from softdpu.dataset.pipeline import read_records
from softdpu.errors import SoftdpuError

TWO = arrays.Inputs(("image", "state"), ((4, 6, 2), (3,)))


def example(i: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(i)
    return {"image": random.normal(size=(4, 6, 2)).astype(np.float32), "state": random.integers(-9, 9, 3)}


def saved(**values: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **values)  # type: ignore[arg-type]
    return file.getvalue()


def test_what_numpy_writes_is_read_and_the_other_way_round() -> None:
    values = {
        "a": np.arange(6, dtype=np.int16).reshape(2, 3),
        "by_column": np.asfortranarray(np.random.default_rng(1).normal(size=(3, 4))),
        "yes": np.array([True, False]),
        "number": np.float64(2.5),
    }
    for data in (saved(**values), arrays.write(values)):
        found = arrays.read(data)
        assert list(found) == list(values)
        for name, value in values.items():
            assert found[name].dtype == np.float32 and np.array_equal(found[name], np.float32(value))
        with np.load(io.BytesIO(data)) as held:
            assert all(np.array_equal(held[name], values[name]) for name in held.files)
    assert arrays.write(values) == arrays.write(values)


def member(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, data)
    return file.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a .npz file"),
        (b"PK\x03\x04 broken", "not a .npz file"),
        (saved(), "without arrays"),
        (saved(a=np.array([object()], object)), "is of type object; expected real numbers"),
        (saved(a=np.array(["text"])), "expected real numbers"),
        (saved(a=np.array([1j])), "expected real numbers"),
        (saved(a=np.array([1.0, np.nan])), "not finite"),
        (saved(a=np.array([1e300])), "not finite in float32"),
        (saved(a=np.zeros((0, 3))), "has the shape"),
        (member("notes.txt", b"x"), "where arrays were expected"),
        (member("a.npy", b"no header"), "broken header|magic"),
        (
            member("a.npy", header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }")),
            "has 0 bytes",
        ),
        (member("a.npy", header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }")), "has the shape"),
        (member("a.npy", header("(" * 500)), "broken header"),
        (member("a.npy", header("__import__('os').abort()")), "broken header"),
    ],
)
def test_what_is_no_file_of_arrays(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        arrays.read(data)
    assert "\n" not in str(caught.value)


def test_arrays_go_by_their_name_or_that_of_keras() -> None:
    found = arrays.read(saved(**{"/model/left:0": 1, "left image": 2, "größe": 3, "é": 4, "x": 5, "x_": 6}))
    names = ("model_left_0", "left image", "größe", "é", "x", "x_", "left_image")
    assert list(arrays.fit(found, arrays.Inputs(names, ((),) * 7))) == [1, 2, 3, 4, 5, 6, 2]
    for name in ("X", "_x", "ü"):
        with pytest.raises(ValueError, match=f"no array {name}; the network takes {name}, the file has /model/left:0"):
            arrays.fit(found, arrays.Inputs((name,), ((),)))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            archive.writestr("a.npy", npy(1.0))
    with pytest.raises(ValueError, match="two arrays of one name"):
        arrays.read(file.getvalue())


def test_other_methods_of_packing_are_refused() -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("a.npy", npy(1.0))
        with pytest.raises(ValueError, match="another method than numpy's; write it with"):
            arrays.read(file.getvalue())


def npy(value: float) -> bytes:
    file = io.BytesIO()
    np.save(file, value)
    return file.getvalue()


def test_arrays_of_too_many_bytes_are_not_unpacked() -> None:
    with pytest.raises(ValueError, match="at most 64 of"):
        arrays.read(saved(a=np.zeros(arrays.MOST_BYTES // 8 + 1)))


def test_arrays_go_by_name_and_may_have_their_channels_first() -> None:
    one = example(1)
    image = np.moveaxis(one["image"], -1, 0)
    for given in (one["image"], image, image[None], one["image"][None]):
        found = arrays.fit({"more": np.zeros(1), "state": one["state"], "image": given}, TWO)
        assert np.array_equal(found[0], one["image"]) and np.array_equal(found[1], one["state"])
        assert {array.dtype for array in found} == {np.dtype(np.float32)}
    alone = arrays.Inputs(("image",), ((4, 6, 2),))
    assert np.array_equal(arrays.fit({"arr_0": one["image"]}, alone)[0], one["image"])
    with pytest.raises(ValueError, match="no array state; the network takes image, state, the file has image"):
        arrays.fit({"image": one["image"]}, TWO)
    with pytest.raises(ValueError, match=r"array image has the shape \(4, 5, 2\), the network takes \(4, 6, 2\)"):
        arrays.fit({"image": one["image"][:, 1:], "state": one["state"]}, TWO)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Records of ten examples, of which one is broken and one does not fit the network."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    for i in range(10):
        (folder / f"e{i}.npz").write_bytes(arrays.write(example(i)))
    (folder / "e3.npz").write_bytes(b"broken")
    (folder / "notes.txt").write_text("no example")
    choice = Choice("array_files", str(folder), "train", shards=2, val_share=0.1)
    make(choice, tmp_path / "records", max_skipped=0.2)
    return tmp_path / "records"


def test_batches_hold_the_arrays_of_the_files(records: Path) -> None:
    assert len(list(read_records(records))) == 8
    batches = ArrayBatches(records, TWO, 3)
    assert (len(batches), batches.images, batches.shape) == (3, 8, TWO.shapes)
    images, states = (np.concatenate(values) for values in zip(*(batches[i][0] for i in range(3)), strict=True))
    kept = [i for i in range(10) if any(np.array_equal(example(i)["image"], image) for image in images)]
    assert len(kept) == 8 and 3 not in kept
    assert np.array_equal(states, [example(i)["state"] for i in kept])
    parts = [batches.part(1, number, 2)[0][1] for number in (0, 1)]
    assert np.array_equal(np.concatenate(parts), states[3:6])
    assert ArrayBatches(records, TWO, 3, images=4).images == 4
    with pytest.raises(SoftdpuError, match="holds 8 images, 9 were asked for"):
        ArrayBatches(records, TWO, 3, images=9)


def test_an_example_that_does_not_fit_is_named(records: Path) -> None:
    batches = ArrayBatches(records, arrays.Inputs(("image",), ((4, 6, 3),)), 3)
    with pytest.raises(SoftdpuError, match=r"data_0.tfrecord, the record at byte 12: array image .*\(4, 6, 3\)"):
        batches[0]


def test_a_folder_without_arrays(tmp_path: Path) -> None:
    for name in ("none", "split/train", "split/val", "one"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "one/a.npz").write_bytes(b"")
    (tmp_path / "none/a.npy").write_bytes(b"")
    for folder, message in (
        ("none", "none holds too few arrays for val: 0 files of .npz; put at least 2, to calibrate and to compare"),
        ("one", "one holds too few arrays for val: 1 files of .npz; put at least 2"),
        ("split", "split/val holds too few arrays for val: 0 files of .npz; put at least 1"),
        ("gone", "the folder of arrays"),
    ):
        with pytest.raises(SoftdpuError, match=message):
            make(Choice("array_files", str(tmp_path / folder), "val"), tmp_path / "records")
