"""Image files in folders: which there are, which of them validate, and reading them, whatever is said about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from softdpu.dataset.source import RawImage, SourceFile, split_range
from softdpu.output.files import PathLike

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
ARRAY_SUFFIXES = (".npz",)  # of examples that are no image
MOST_BYTES = 1 << 28  # of an image file


class ListedImages:
    """Image files below a folder, each with a label, spread over shards: what the sources of folders share."""

    def __init__(self, root: Path, images: list[tuple[Path, int]], shards: int) -> None:
        self._root, self._images, self.shards = root, images, shards
        self._read: dict[int, list[SourceFile]] = {}

    def count(self, shard: int) -> int:
        """Return how many images a shard holds."""
        return len(split_range(len(self._images), shard, self.shards))

    def read(self, shard: int) -> Iterator[RawImage]:
        """Yield the images of one shard, by class and name."""
        self._read[shard] = []
        for i in split_range(len(self._images), shard, self.shards):
            path, label = self._images[i]
            name = path.relative_to(self._root).as_posix()
            try:
                if path.exists() and not path.is_file():  # a pipe would be waited for without end
                    raise OSError(0, "it is no file")
                if path.stat().st_size > MOST_BYTES:
                    raise OSError(0, f"it has more than {MOST_BYTES >> 20} MiB")
                data = path.read_bytes()
            except OSError as error:
                yield RawImage(name, label, b"", f"cannot be read: {error.strerror}")
                continue
            self._read[shard].append(SourceFile(name, len(data), hashlib.sha256(data).hexdigest()))
            yield self._describe(name, path, label, data)

    def files(self, shard: int) -> list[SourceFile]:
        """Return the images of a shard that has been read."""
        return self._read[shard]

    def _describe(self, name: str, path: Path, label: int, data: bytes) -> RawImage:
        """Return what a file is, with what is known of it."""
        return RawImage(name, label, data)


def state(root: PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Return a digest of the names, sizes and times of the files below a folder: another digest, other records."""
    digest = hashlib.sha256()
    for path in list_images(Path(root), suffixes):
        status = path.lstat()
        digest.update(f"{path.as_posix()} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def list_images(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """Return the image files below a folder, or those of other suffixes, sorted; none where it does not exist."""
    if not folder.is_dir():
        return []
    files = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    return sorted((path for path in files if not path.is_dir()), key=lambda path: path.as_posix())


def choose(images: list[Path], root: Path, split: str, val_share: float, seed: int) -> list[Path]:
    """Return the images of a split; those with the smallest hashes of seed and name are for validation."""

    def draw(path: Path) -> str:
        name = f"{seed}:{path.relative_to(root).as_posix()}"
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()

    count = min(max(1, round(len(images) * val_share)), len(images) - 1)
    val = set(sorted(images, key=draw)[: max(count, 0)])
    return [path for path in images if (path in val) == (split == "val")]
