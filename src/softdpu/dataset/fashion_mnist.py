"""Fashion-MNIST: where its four files come from, checked by SHA-256, and what is in them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from softdpu.dataset import images as image_files
from softdpu.dataset.source import RawImage, SourceFile, split_range
from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.output.files import PathLike, sha256, whole_file
from softdpu.output.progress import tqdm

CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle_boot")
FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "val": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
SHA256 = {
    "train-images-idx3-ubyte.gz": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte.gz": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte.gz": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte.gz": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"
PUBLISHER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_TIMEOUT = 30  # seconds without a byte


def check(folder: Path) -> None:
    """Check that a folder holds the four files as the publisher made them.

    Raises:
        SoftdpuError: naming the first file that is missing or different.
    """
    for name, expected in SHA256.items():
        path = folder / name
        if not path.is_file():
            raise SoftdpuError(f"{folder} has no {name}; it must hold {', '.join(SHA256)}")
        actual = sha256(path)
        if actual != expected:
            raise SoftdpuError(
                f"{path} is damaged: its SHA-256 must be {expected}, it is {actual} ({path.stat().st_size} bytes);"
                " delete it and fetch the data again"
            )


def _from_debian_package(_: Path) -> Path:
    if not DEBIAN_FOLDER.is_dir():
        raise SoftdpuError(f"there is no {DEBIAN_FOLDER}")
    return DEBIAN_FOLDER


def _from_publisher(work: Path) -> Path:
    for name in SHA256:
        try:
            with urllib.request.urlopen(PUBLISHER + name, timeout=_TIMEOUT) as reply, open(work / name, "wb") as file:
                total = int(reply.headers.get("Content-Length") or 0)
                with tqdm(total=total or None, unit="B", unit_scale=True, desc=name) as bar:
                    while block := reply.read(1 << 16):
                        file.write(block)
                        bar.update(len(block))
        except (OSError, ValueError) as error:
            raise SoftdpuError(f"{PUBLISHER}{name}: {error}") from None
    return work


def _from_debian_archive(work: Path) -> Path:
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise SoftdpuError(f"there is no {program} here")
    try:
        _run(["apt-get", "download", DEBIAN_PACKAGE], work)
        package = next(work.glob(DEBIAN_PACKAGE + "_*.deb"))
        _run(["dpkg-deb", "-x", str(package), "unpacked"], work)
    except (subprocess.SubprocessError, StopIteration) as error:
        raise SoftdpuError(f"apt-get download {DEBIAN_PACKAGE}: {error}") from None
    return work / "unpacked" / DEBIAN_FOLDER.relative_to("/")


def _run(command: list[str], folder: Path) -> None:
    result = subprocess.run(
        command, cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False
    )
    if result.returncode:
        lines = result.stdout.decode("utf-8", "replace").split("\n")
        raise SoftdpuError(f"{' '.join(command)}: {' '.join(lines[-3:])}")


WAYS: dict[str, Callable[[Path], Path]] = {
    f"the Debian package {DEBIAN_PACKAGE}, if installed": _from_debian_package,
    "the publisher's download": _from_publisher,
    f"apt-get download {DEBIAN_PACKAGE}": _from_debian_archive,
}


def fetch(output: PathLike, folder: PathLike | None = None) -> str:
    """Put the four files into the folder `output`, all four or none, and return where they came from.

    Args:
        output: is made if it is not there; files that it holds are replaced.
        folder: where the user has them; None tries WAYS one after the other.

    Raises:
        SoftdpuError: if `folder` does not hold the four files undamaged, or no way works.
    """
    output = Path(output)
    if folder is not None:
        if not Path(folder).is_dir():
            raise SoftdpuError(f"the data folder {folder} does not exist; it must hold {', '.join(SHA256)}")
        check(Path(folder))
        _copy(Path(folder), output)
        return str(folder)
    failures = []
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory() as work:
            try:
                found = way(Path(work))
                check(found)
            except SoftdpuError as error:
                failures.append(f"{name}: {error}")
                continue
            _copy(found, output)
            return name
    raise SoftdpuError(
        f"no way to Fashion-MNIST works. Install the Debian package {DEBIAN_PACKAGE}, or let this machine reach"
        f" {PUBLISHER} or a Debian archive, or name a folder with the four files in the config (dataset.folder)."
        f" Tried: {'; '.join(failures)}"
    )


def _copy(source: Path, output: Path) -> None:
    for name in SHA256:
        with whole_file(output / name) as part:
            shutil.copyfile(str(source / name), str(part))


def read_idx(path: PathLike, dimensions: int) -> np.ndarray:
    """Read a gzipped IDX file of bytes: uint8 with that number of dimensions.

    Raises:
        SoftdpuError: if the file is missing, is not whole, or is no IDX file of bytes with that many dimensions.
    """
    try:
        with open(files.open_file(path), "rb") as packed, gzip.open(packed) as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise SoftdpuError(f"cannot read {path}: {error}; fetch the data again") from None
    magic = bytes([0, 0, 8, dimensions])
    start = 4 + 4 * dimensions
    if data[:4] != magic or len(data) < start:
        raise SoftdpuError(
            f"{path} must be an IDX file that starts with {magic.hex()}, it starts with {data[:4].hex()}"
        )
    shape = np.frombuffer(data, ">u4", dimensions, 4)
    if len(data) - start != int(np.prod(shape, dtype=np.int64)):
        raise SoftdpuError(f"{path} must hold {'x'.join(map(str, shape))} bytes, it holds {len(data) - start}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


class FashionMnist:
    """One split of Fashion-MNIST as a source of records: 28x28 grey images, made JPEG with three equal channels."""

    def __init__(
        self, folder: PathLike, split: str, shards: int, images: int | None = None, quality: int = 100
    ) -> None:
        """Open a split.

        Args:
            folder: with the four files.
            split: "train" or "val".
            shards: over how many files the records are spread.
            images: how many to take from the start, all if None.
            quality: of the JPEG files, 0..100.
        """
        self.classes = list(CLASSES)
        self.shards = shards
        self._files = [Path(folder) / name for name in FILES[split]]
        self._quality = quality
        self._split = split
        self._pixels = read_idx(self._files[0], 3)
        self._labels = read_idx(self._files[1], 1)
        if len(self._pixels) != len(self._labels):
            raise SoftdpuError(
                f"{self._files[0]} holds {len(self._pixels)} images, {self._files[1]} {len(self._labels)} labels"
            )
        if images is not None and images > len(self._labels):
            raise SoftdpuError(f"Fashion-MNIST {split} has {len(self._labels)} images, {images} were asked for")
        self._count = len(self._labels) if images is None else images

    def count(self, shard: int) -> int:
        """Return how many images a shard holds."""
        return len(split_range(self._count, shard, self.shards))

    def read(self, shard: int) -> Iterator[RawImage]:
        """Yield the images of one shard."""
        for i in split_range(self._count, shard, self.shards):
            image = cv2.cvtColor(self._pixels[i], cv2.COLOR_GRAY2BGR)
            data = image_files.encode_jpeg(image, self._quality)
            yield RawImage(f"{self._split}_{i:05d}", int(self._labels[i]), data)

    def files(self, shard: int) -> list[SourceFile]:
        """Return the two files of the split; every shard is read from both."""
        return [SourceFile(path.name, path.stat().st_size, sha256(path)) for path in self._files]
