from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_tools import write_idx

from softdpu.dataset import fashion_mnist, preprocess
from softdpu.errors import SoftdpuError

IMAGES = "train-images-idx3-ubyte.gz"


def none_works(_: Path) -> Path:
    raise SoftdpuError("not on this machine")


def test_fetch_from_the_folder_of_the_config(fashion_folder: Path, tmp_path: Path) -> None:
    assert fashion_mnist.fetch(tmp_path / "out", fashion_folder) == str(fashion_folder)
    assert sorted(os.listdir(tmp_path / "out")) == sorted(fashion_mnist.SHA256)
    for name in fashion_mnist.SHA256:
        assert (tmp_path / "out" / name).read_bytes() == (fashion_folder / name).read_bytes()


def test_fetch_takes_the_first_way_that_works(
    fashion_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in fashion_mnist.SHA256:
        (damaged / name).write_bytes(b"something else")
    ways = {"first": none_works, "second": lambda _: damaged, "third": lambda _: fashion_folder, "fourth": none_works}
    monkeypatch.setattr(fashion_mnist, "WAYS", ways)
    assert fashion_mnist.fetch(tmp_path / "out") == "third"
    fashion_mnist.check(tmp_path / "out")


def test_fetch_names_the_ways_when_none_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "WAYS", dict.fromkeys(fashion_mnist.WAYS, none_works))
    with pytest.raises(SoftdpuError) as error:
        fashion_mnist.fetch(tmp_path / "out")
    for part in ("dataset-fashion-mnist", fashion_mnist.PUBLISHER, "Debian archive", "dataset.folder"):
        assert part in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_debian_archive_is_unpacked_without_root(
    fashion_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tmp_path / "package"
    data = tree / fashion_mnist.DEBIAN_FOLDER.relative_to("/")
    data.mkdir(parents=True)
    for name in fashion_mnist.SHA256:
        (data / name).write_bytes((fashion_folder / name).read_bytes())
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: dataset-fashion-mnist\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n"
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "download dataset-fashion-mnist" ] && dpkg-deb -b {tree} {"$2_1_all.deb"}\n'
    )
    apt.chmod(0o755)
    if subprocess.run(["sh", "-c", "command -v dpkg-deb"], capture_output=True).returncode:
        pytest.skip("needs dpkg-deb")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    work = tmp_path / "work"
    work.mkdir()
    fashion_mnist.check(fashion_mnist._from_debian_archive(work))
    apt.write_text("#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    with pytest.raises(SoftdpuError, match="no network"):
        fashion_mnist._from_debian_archive(work)


def test_the_publishers_download(fashion_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion_mnist, "PUBLISHER", fashion_folder.as_uri() + "/")
    fashion_mnist.check(fashion_mnist._from_publisher(tmp_path))
    monkeypatch.setattr(fashion_mnist, "PUBLISHER", (tmp_path / "nothing").as_uri() + "/")
    with pytest.raises(SoftdpuError, match=r"train-images-idx3-ubyte\.gz"):
        fashion_mnist._from_publisher(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "has no train-images-idx3-ubyte.gz"),
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "is damaged: its SHA-256 must be"),
        (lambda path: path.write_bytes(b""), "is damaged.*(0 bytes)"),
    ],
)
def test_a_damaged_folder_is_told_and_nothing_is_written(fashion_folder: Path, tmp_path: Path, damage, message) -> None:
    damage(fashion_folder / IMAGES)
    with pytest.raises(SoftdpuError, match=message):
        fashion_mnist.fetch(tmp_path / "out", fashion_folder)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SoftdpuError, match="does not exist; it must hold train-images"):
        fashion_mnist.fetch(tmp_path / "out", tmp_path / "nothing")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip at all", "cannot read .*gz"),
        (gzip.compress(bytes(range(256)))[:-30], "cannot read .*gz"),
        (gzip.compress(b"\0\0\x0d\x03" + bytes(12)), "starts with 00000803, it starts with 00000d03"),
        (gzip.compress(bytes([0, 0, 8, 3]) + bytes(3)), "it starts with 00000803"),
        (gzip.compress(bytes([0, 0, 8, 3]) + np.array([2, 2, 2], ">u4").tobytes() + bytes(7)), "must hold 2x2x2 bytes"),
    ],
    ids=["no gzip", "cut", "four dimensions", "short header", "short data"],  # or gzip's time is in the name
)
def test_a_broken_idx_file_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(SoftdpuError, match=message):
        fashion_mnist.read_idx(tmp_path / "x.gz", 3)


def test_images_without_labels(fashion_folder: Path) -> None:
    write_idx(fashion_folder / "train-labels-idx1-ubyte.gz", np.zeros(36))
    with pytest.raises(SoftdpuError, match=r"holds 37 images.*36 labels"):
        fashion_mnist.FashionMnist(fashion_folder, "train", 1)


def test_more_images_than_there_are(fashion_folder: Path) -> None:
    with pytest.raises(SoftdpuError, match="has 37 images, 38 were asked for"):
        fashion_mnist.FashionMnist(fashion_folder, "train", 1, images=38)


def test_shards_hold_all_images_in_order(fashion_folder: Path) -> None:
    source = fashion_mnist.FashionMnist(fashion_folder, "train", 4)
    pixels = fashion_mnist.read_idx(fashion_folder / IMAGES, 3)
    images = [raw for shard in range(4) for raw in source.read(shard)]
    assert [raw.label for raw in images] == [i % 10 for i in range(37)]
    assert [source.count(shard) for shard in range(4)] == [9, 9, 9, 10]
    for raw, grey in zip(images, pixels, strict=True):
        decoded = preprocess.decode(raw.data)
        assert decoded.shape == (28, 28, 3)
        assert np.abs(decoded.astype(int) - grey[..., None]).max() <= 4  # noise, the hardest image for JPEG
        assert cv2.imdecode(np.frombuffer(raw.data, np.uint8), cv2.IMREAD_UNCHANGED).shape == (28, 28, 3)
