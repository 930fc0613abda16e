"""A folder of images, one folder a class: root/train/<class>/ and root/val/<class>/, or root/<class>/ split here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from softdpu.dataset.source import RawImage, SourceFile, shard_range
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
MOST_BYTES = 1 << 28  # of an image file


class ImageFolder:
    """One split of a folder of images."""

    def __init__(self, root: PathLike, split: str, shards: int, val_share: float = 0.2, seed: int = 1) -> None:
        """List the images of a split.

        Args:
            root: holds train/ and val/ with a folder a class each, or the folders of the classes themselves.
            split: "train" or "val".
            shards: over how many files the records are spread.
            val_share: of each class's images, for validation, if there are no train/ and val/.
            seed: of that choice; a file stays in its split when others are added or removed, up to rounding.

        Raises:
            SoftdpuError: if there are no classes, a class has no image, or val/ has a class that train/ has not.
        """
        self._root = Path(root)
        if not self._root.is_dir():
            raise SoftdpuError(f"the folder of images {root} does not exist (dataset.path)")
        split_by_folder = (self._root / "train").is_dir() and (self._root / "val").is_dir()
        train_root = self._root / "train" if split_by_folder else self._root
        self.classes = _folders(train_root)
        if not self.classes:
            raise SoftdpuError(f"{train_root} must hold one folder a class, it holds none")
        if not split_by_folder and not 0 < val_share < 1:
            raise SoftdpuError(f"the share of validation images must be between 0 and 1, got {val_share}")
        here = self._root / split if split_by_folder else self._root
        strangers = sorted(set(_folders(here)) - set(self.classes))
        if strangers:
            raise SoftdpuError(f"{here / strangers[0]} is a class that {train_root} does not have")
        self._images: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            images = _images(here / name)
            if not split_by_folder:
                images = _choose(images, self._root, split, val_share, seed)
            if not images and (split == "train" or not split_by_folder):
                raise SoftdpuError(_explain_too_few(here / name, split, split_by_folder))
            self._images += [(path, label) for path in images]
        if not self._images:
            raise SoftdpuError(f"{here} holds no images: {', '.join(SUFFIXES)}")
        self.shards = shards
        self._read: dict[int, list[SourceFile]] = {}

    def count(self, shard: int) -> int:
        """Return how many images a shard holds."""
        return len(shard_range(len(self._images), shard, self.shards))

    def read(self, shard: int) -> Iterator[RawImage]:
        """Yield the images of one shard, by class and name."""
        self._read[shard] = []
        for i in shard_range(len(self._images), shard, self.shards):
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
            yield RawImage(name, label, data)

    def files(self, shard: int) -> list[SourceFile]:
        """Return the images of a shard that has been read."""
        return self._read[shard]


def _explain_too_few(folder: Path, split: str, split_by_folder: bool) -> str:
    count = len(_images(folder))
    if split_by_folder or not count:
        return f"{folder} holds too few images for {split}: {', '.join(SUFFIXES)}"
    return (
        f"{folder} holds too few images for {split}: {count}. A class needs 2 at least, to train and to validate"
        " with; add images, or make train/ and val/ yourself (dataset.path)"
    )


def count_folders(root: PathLike) -> int | None:
    """Return how many classes a folder of images has, None if it does not exist."""
    split = Path(root, "train").is_dir() and Path(root, "val").is_dir()
    folder = Path(root, "train") if split else Path(root)
    return len(_folders(folder)) if folder.is_dir() else None


def state(root: PathLike) -> str:
    """Return a digest of the names, sizes and times of all images below a folder: another digest, other records."""
    digest = hashlib.sha256()
    for path in _images(Path(root)):
        status = path.lstat()
        digest.update(f"{path.as_posix()} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    return sorted((path for path in files if not path.is_dir()), key=lambda path: path.as_posix())


def _choose(images: list[Path], root: Path, split: str, val_share: float, seed: int) -> list[Path]:
    """Return the images of a split: those with the smallest hashes of seed and name are for validation."""

    def draw(path: Path) -> str:
        name = f"{seed}:{path.relative_to(root).as_posix()}"
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()

    count = min(max(1, round(len(images) * val_share)), len(images) - 1)
    val = set(sorted(images, key=draw)[: max(count, 0)])
    return [path for path in images if (path in val) == (split == "val")]
