"""A folder of images, one folder per class: root/train/<class>/ and root/val/<class>/, or root/<class>/ split here."""

from __future__ import annotations

from pathlib import Path

from softdpu.dataset.listed import SUFFIXES, ListedImages, choose, list_images
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike


class ImageFolder(ListedImages):
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
            raise SoftdpuError(f"{train_root} must hold one folder per class, it holds none")
        if not split_by_folder and not 0 < val_share < 1:
            raise SoftdpuError(f"the share of validation images must be between 0 and 1, got {val_share}")
        here = self._root / split if split_by_folder else self._root
        strangers = sorted(set(_folders(here)) - set(self.classes))
        if strangers:
            raise SoftdpuError(f"{here / strangers[0]} is a class that {train_root} does not have")
        found: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            images = list_images(here / name)
            if not split_by_folder:
                images = choose(images, self._root, split, val_share, seed)
            if not images and (split == "train" or not split_by_folder):
                raise SoftdpuError(_explain_too_few(here / name, split, split_by_folder))
            found += [(path, label) for path in images]
        if not found:
            raise SoftdpuError(f"{here} holds no images: {', '.join(SUFFIXES)}")
        super().__init__(self._root, found, shards)


def _explain_too_few(folder: Path, split: str, split_by_folder: bool) -> str:
    count = len(list_images(folder))
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


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
