"""A folder of files that nothing is said about: root/train and root/val, or all files below root, split here.

They are images, or for a network that takes something else, .npz files of arrays.
"""

from __future__ import annotations

from pathlib import Path

from softdpu.dataset.listed import ARRAY_SUFFIXES, SUFFIXES, ListedImages, choose, list_images
from softdpu.dataset.source import RawImage
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike


class ImageFiles(ListedImages):
    """One split of a folder of images without labels, in folders or not."""

    classes: list[str] = []  # noqa: RUF012 - the protocol's
    suffixes: tuple[str, ...] = SUFFIXES
    what = "images"

    def __init__(self, root: PathLike, split: str, shards: int, val_share: float = 0.2, seed: int = 1) -> None:
        """List the images of a split; arguments as for folder.ImageFolder.

        Raises:
            SoftdpuError: if the folder or its images are missing.
        """
        folder = Path(root)
        if not folder.is_dir():
            raise SoftdpuError(f"the folder of {self.what} {root} does not exist (dataset.path)")
        split_by_folder = (folder / "train").is_dir() and (folder / "val").is_dir()
        place = folder / split if split_by_folder else folder
        images = found = list_images(place, self.suffixes)
        if not split_by_folder:
            images = choose(found, folder, split, val_share, seed)
        if not images:
            least = "1" if split_by_folder else "2, to calibrate and to compare,"
            raise SoftdpuError(
                f"{place} holds too few {self.what} for {split}: {len(found)} files of {', '.join(self.suffixes)}; put"
                f" at least {least} there (dataset.path)"
            )
        super().__init__(folder, [(path, 0) for path in images], shards)

    def _describe(self, name: str, path: Path, label: int, data: bytes) -> RawImage:
        return RawImage(name, 0, data, present=())


class ArrayFiles(ImageFiles):
    """One split of a folder of .npz files, an example each."""

    suffixes = ARRAY_SUFFIXES
    what = "arrays"

    def _describe(self, name: str, path: Path, label: int, data: bytes) -> RawImage:
        return RawImage(name, 0, data, present=(), arrays=True)
