"""Records of a data set: a source chosen by name, one shard of it, or all of them and the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from softdpu.dataset import records
from softdpu.dataset.box_folder import BoxFolder
from softdpu.dataset.fashion_mnist import FashionMnist
from softdpu.dataset.folder import ImageFolder
from softdpu.dataset.imagenet import ImagenetTrain, ImagenetVal
from softdpu.dataset.images import MAX_PIXELS
from softdpu.dataset.mask_folder import MaskFolder
from softdpu.dataset.source import Source
from softdpu.dataset.unlabelled import ArrayFiles, ImageFiles
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.output.progress import tqdm

SPLITS = ("train", "val")


@dataclass(frozen=True)
class Choice:
    """One split of a data set.

    Attributes:
        kind: of the data set, a key of SOURCES.
        source: fashion_mnist: folder of the four files; image_folder: folder of images; imagenet: the split's tar.
        split: train or val.
        shards: fashion_mnist, image_folder: files to spread the records over.
        images: fashion_mnist: the first so many, None for all.
        jpeg_quality: fashion_mnist: of the JPEG files made.
        classes: imagenet: the first so many synsets, None for all; mask_folder: their number.
        train_source, ground_truth: imagenet, val: the training tar, which names the classes; val.txt or a tar with it.
        images_per_shard: imagenet, val.
        max_pixels: an image that declares more is left out.
        val_share, seed: image_folder without train/ and val/: for val, and of the choice.
    """

    kind: str
    source: str
    split: str
    shards: int = 1
    images: int | None = None
    jpeg_quality: int = 100
    classes: int | None = None
    train_source: str | None = None
    ground_truth: str | None = None
    images_per_shard: int = 5000
    val_share: float = 0.2
    seed: int = 1
    max_pixels: int = MAX_PIXELS


def _fashion_mnist(choice: Choice) -> Source:
    return FashionMnist(choice.source, choice.split, choice.shards, choice.images, choice.jpeg_quality)


def _image_folder(choice: Choice) -> Source:
    return ImageFolder(choice.source, choice.split, choice.shards, choice.val_share, choice.seed)


def _image_files(choice: Choice) -> Source:
    return ImageFiles(choice.source, choice.split, choice.shards, choice.val_share, choice.seed)


def _array_files(choice: Choice) -> Source:
    return ArrayFiles(choice.source, choice.split, choice.shards, choice.val_share, choice.seed)


def _mask_folder(choice: Choice) -> Source:
    return MaskFolder(choice.source, choice.split, choice.shards, choice.val_share, choice.seed, choice.classes)


def _imagenet(choice: Choice) -> Source:
    if choice.split == "train":
        return ImagenetTrain(choice.source, choice.classes)
    if choice.train_source is None or choice.ground_truth is None:
        missing = "train-source" if choice.train_source is None else "ground-truth"
        raise SoftdpuError(f"--kind imagenet --split val also needs --{missing}")
    return ImagenetVal(choice.source, choice.ground_truth, choice.train_source, choice.classes, choice.images_per_shard)


def _box_folder(choice: Choice) -> Source:
    return BoxFolder(choice.source, choice.split, choice.shards)


SOURCES: dict[str, Callable[[Choice], Source]] = {
    "array_files": _array_files,
    "box_folder": _box_folder,
    "fashion_mnist": _fashion_mnist,
    "image_files": _image_files,
    "image_folder": _image_folder,
    "imagenet": _imagenet,
    "mask_folder": _mask_folder,
}


def make(choice: Choice, output: PathLike, verify: bool = False, max_skipped: float = 0.01) -> None:
    """Write all shards of a split, one after the other, and the manifest; Snakemake writes several at once.

    Args:
        output: folder for data_<i>.tfrecord, data_<i>.json, manifest.json and labels.txt.
        verify: decode every image; otherwise the structure of JPEG files is checked.
        max_skipped: share of broken images, 0..1, above which the data set is refused.

    Raises:
        SoftdpuError: if the source is missing or broken, or the disk is full.
    """
    source = SOURCES[choice.kind](choice)
    for shard in range(source.shards):
        _write_shard(source, choice, shard, output, verify)
    merge(output, source.shards, max_skipped)


def make_shard(choice: Choice, shard: int, output: PathLike, verify: bool = False) -> None:
    """Write one shard, counted from 0, and its report; arguments and errors as for `make`."""
    source = SOURCES[choice.kind](choice)
    if not 0 <= shard < source.shards:
        raise SoftdpuError(f"the shard must be 0 to {source.shards - 1}, got {shard}")
    _write_shard(source, choice, shard, output, verify)


def merge(folder: PathLike, shards: int, max_skipped: float) -> None:
    """Join the reports of a split's shards."""
    manifest = records.merge(folder, shards, max_skipped)
    kinds = f" of {len(manifest['classes'])} classes" if manifest["classes"] else ""
    print(f"{folder}: {manifest['images']} images{kinds} in {shards} shards")


def _write_shard(source: Source, choice: Choice, shard: int, output: PathLike, verify: bool) -> None:
    with tqdm(total=source.count(shard), unit="image", desc=f"{choice.split} {shard}") as bar:
        records.write_shard(source, shard, output, verify, bar.update, choice.max_pixels)
