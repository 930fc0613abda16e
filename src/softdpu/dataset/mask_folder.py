"""A folder of images and masks: root/images and root/masks, split here, or both below root/train and root/val.

A mask is a PNG with the index of a class for each pixel (grey or with a palette, whose colours do not matter), of the
stem and the size of its image; 255 stands for pixels that do not count.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from softdpu.dataset import labels, masks
from softdpu.dataset.listed import SUFFIXES, ListedImages, choose, list_images
from softdpu.dataset.source import RawImage
from softdpu.errors import SoftdpuError
from softdpu.numbers.segmentation import IGNORED
from softdpu.output import files
from softdpu.output.files import PathLike

CLASSES = "classes.txt"
_ORIENTATION, _ON_ITS_SIDE = 0x0112, range(5, 9)  # EXIF
_MODES = ("1", "L", "P", "I", "I;16")  # Pillow's names of images with one number for a pixel


class MaskFolder(ListedImages):
    """One split of a folder of images and masks."""

    def __init__(
        self, root: PathLike, split: str, shards: int, val_share: float, seed: int, classes: int | None = None
    ) -> None:
        """List the images of a split; arguments as for folder.ImageFolder.

        Args:
            classes: their number; None takes the lines of root/classes.txt, else the largest index in all masks.

        Raises:
            SoftdpuError: as `check`, or if no image is left for the split.
        """
        folder = Path(root)
        check(folder)
        parts = _list_parts(folder)
        images = list_images(parts[min(("train", "val").index(split), len(parts) - 1)] / "images")
        if len(parts) == 1:
            images = choose(images, folder, split, val_share, seed)
        if not images:
            raise SoftdpuError(f"{folder} holds too few images for {split}: {', '.join(SUFFIXES)} (dataset.path)")
        super().__init__(folder, [(path, 0) for path in images], shards)
        self.classes = _name_classes(folder, classes or count_classes(folder))

    def _describe(self, name: str, path: Path, label: int, data: bytes) -> RawImage:
        """Return an image with its mask.

        Raises:
            SoftdpuError: if the mask has another size, or values that are no classes.
        """
        place = find_mask(path)
        mask = _read_mask(place)
        values = [int(value) for value in np.unique(mask)]
        wrong = [value for value in values if value >= len(self.classes) and value != IGNORED]
        if wrong:
            shown = ", ".join(map(str, wrong[:10])) + (", ..." if len(wrong) > 10 else "")
            raise SoftdpuError(
                f"{place} has the values {shown}; expected the classes 0 to {len(self.classes) - 1}, and {IGNORED} for"
                " pixels that do not count (segmentation.classes)"
            )
        size = _size_of(data)
        if size and size != mask.shape:
            raise SoftdpuError(
                f"{place} is {mask.shape[1]}x{mask.shape[0]} pixels, its image {path} is {size[1]}x{size[0]}; make them"
                " of one size"
            )
        present = tuple(value for value in values if value != IGNORED)
        return RawImage(name, 0, data, target=masks.encode(mask.astype(np.uint8)), present=present)


def _name_classes(root: Path, count: int | None) -> list[str]:
    """Return the names of the classes; all masks are read where nothing says how many there are."""
    if count is None:
        found = [_read_mask(find_mask(path)) for path in list_all(root)]
        count = max((int(mask[mask != IGNORED].max(initial=0)) for mask in found), default=0) + 1
    names = labels.read(root / CLASSES) if (root / CLASSES).is_file() else []
    return [names[i] if i < len(names) else f"class {i}" for i in range(count)]


def check(root: Path) -> None:
    """See, without reading an image, that a folder is of this kind and every image has a mask.

    Raises:
        SoftdpuError: naming what is missing.
    """
    if not root.is_dir():
        raise SoftdpuError(f"the folder of images {root} does not exist (dataset.path)")
    for part in _list_parts(root):
        for name in ("images", "masks"):
            if not (part / name).is_dir():
                raise SoftdpuError(
                    f"{part} holds no folder {name}; task segmentation takes images/ and masks/ with the same names, or"
                    " both below train/ and val/ (dataset.path)"
                )
    paths = list_all(root)
    if not paths:
        raise SoftdpuError(f"{root} holds no images: {', '.join(SUFFIXES)} (dataset.path)")
    without = [path for path in paths if not find_mask(path).is_file()]
    if without:
        more = f", and so have {len(without) - 1} more" if len(without) > 1 else ""
        raise SoftdpuError(f"{without[0]} has no mask {find_mask(without[0])}{more}; add it, or take the image away")
    count = count_classes(root)
    if count is not None and not 2 <= count <= masks.MOST_CLASSES:
        raise SoftdpuError(f"{root / CLASSES}: expected 2 to {masks.MOST_CLASSES} lines, a class each, it has {count}")


def count_classes(root: Path) -> int | None:
    """Return the lines of classes.txt, None where there is none."""
    return len(labels.read(root / CLASSES)) if (root / CLASSES).is_file() else None


def list_all(root: Path) -> list[Path]:
    """Return all images of a folder."""
    return [path for part in _list_parts(root) for path in list_images(part / "images")]


def find_mask(path: Path) -> Path:
    """Return where the mask of an image is to be: masks/ beside images/, the same name with .png."""
    folder = next(parent for parent in path.parents if parent.name == "images")
    return folder.with_name("masks") / path.relative_to(folder).with_suffix(".png")


def _list_parts(root: Path) -> list[Path]:
    split = (root / "train").is_dir() and (root / "val").is_dir()
    return [root / "train", root / "val"] if split else [root]


def _read_mask(path: Path) -> np.ndarray:
    """Return the indices in a mask, [h, w]."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open(files.open_file(path), "rb") as file, Image.open(file) as image:
                if image.mode not in _MODES:
                    raise SoftdpuError(
                        f"{path} is a colour image ({image.mode}); expected a mask, one class index for each pixel"
                    )
                return np.asarray(image).astype(np.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SoftdpuError(f"{path} cannot be read as a mask ({error}); expected a PNG of class indices") from None


def _size_of(data: bytes) -> tuple[int, int] | None:
    """Return height and width of an image as it is shown; None where Pillow cannot say it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
                return (width, height) if image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE else (height, width)
    except Exception:  # a broken image is left out and named when its record is made
        return None
