"""The input pipeline: batches for a network from record files, whoever made them.

Every image is found by its place in the files, so the shuffle is one of all images, and the same seed gives the same
batches whatever the number of threads. The arithmetic is preprocess's; the augmentation is for training alone.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from softdpu.dataset import example, preprocess, tfrecord
from softdpu.dataset.targets import Labels, Targets
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.output.progress import Steps

_IMAGES_A_TASK = 8  # so that a thread's start costs little beside the decoding


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images; all off by default.

    crop: cut the square at a random place instead of from the middle (only with fit=crop). flip: left to right.
    brightness: adds up to this share of the full scale, up or down. contrast, saturation: scale the distance to the
    image's mean colour, or to grey, by 1 - x to 1 + x.
    """

    crop: bool = False
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def any(self) -> bool:
        """Return whether anything is on."""
        return self != Augmentation()


def record_files(folder: PathLike) -> list[Path]:
    """Return the .tfrecord files of a folder, data_2 before data_10.

    Raises:
        SoftdpuError: if there is none.
    """
    files = [path for path in Path(folder).glob("*.tfrecord") if not path.name.startswith(".")]
    if not files:
        raise SoftdpuError(f"{folder} holds no .tfrecord files; make the records first")
    return sorted(
        files, key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]
    )


def fingerprint(folder: PathLike) -> str:
    """Return 64 hexadecimal digits that tell the records of a folder from others, from their checksums alone.

    Raises:
        SoftdpuError: as `record_files` and `tfrecord.index`.
    """
    digest = hashlib.sha256()
    for path in record_files(folder):
        digest.update(f"{path.name}\0".encode() + tfrecord.checksums(path))
    return digest.hexdigest()


def count_records(folder: PathLike) -> int:
    """Return how many images the records of a folder hold.

    Raises:
        SoftdpuError: as `record_files` and `tfrecord.index`.
    """
    return sum(len(tfrecord.index(path)) for path in record_files(folder))


def read_records(folder: PathLike) -> Iterator[example.Record]:
    """Yield the records of a folder in the order of its files."""
    reader = Reader(record_files(folder))
    for i in range(len(reader)):
        yield reader[i]


class Reader:
    """The records of some files as a sequence; reading is safe from several threads at once."""

    def __init__(self, files: Iterable[PathLike]) -> None:
        self._entries = [entry for path in files for entry in tfrecord.index(path)]
        self._open = {path: open(path, "rb") for path in {entry.path for entry in self._entries}}  # noqa: SIM115

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, i: int) -> example.Record:
        entry = self._entries[i]
        try:
            return example.decode(tfrecord.read(self._open[entry.path].fileno(), entry))
        except ValueError as error:
            raise SoftdpuError(f"{self.place(i)}: {error}") from None

    def read_image(self, i: int) -> np.ndarray:
        """Return the image of record i, uint8[h, w, 3] in the order red, green, blue."""
        try:
            return preprocess.decode(self[i].image)[:, :, ::-1]
        except ValueError as error:
            raise SoftdpuError(f"{self.place(i)}: {error}") from None

    def place(self, i: int) -> str:
        """Return where record i is, for messages."""
        return f"{self._entries[i].path}, the record at byte {self._entries[i].offset}"


def select(folder: PathLike, images: int | None = None) -> tuple[Reader, np.ndarray]:
    """Return the records of a folder and the places in them of so many images, evenly spread; None takes all.

    Raises:
        SoftdpuError: if records are missing, broken, or fewer than asked for.
    """
    reader = Reader(record_files(folder))
    total = len(reader)
    if images is not None and not 0 < images <= total:
        raise SoftdpuError(f"{folder} holds {total} images, {images} were asked for")
    count = total if images is None else images
    if not count:
        raise SoftdpuError(f"the records in {folder} hold no image")
    return reader, np.arange(count) * total // count


class Batches:
    """Batches of (float32[n, height, width, 3], what is right); the last one of an epoch may be smaller.

    What is right are int64[n] labels, or for each image what `targets` makes of its record.

    It has the methods of Keras' Sequence, without needing Keras: len(), [i] and on_epoch_end().
    """

    def __init__(
        self,
        folder: PathLike,
        size: int | tuple[int, int],
        batch_size: int,
        fit: str = preprocess.STRETCH,
        images: int | None = None,
        seed: int | None = None,
        augmentation: Augmentation | None = None,
        threads: int = 2,
        cache_mib: int = 1024,
        classes: int | None = None,
        scaling: preprocess.Scaling = preprocess.TF,
        targets: Targets | None = None,
    ) -> None:
        """Open the records of a folder.

        Args:
            folder: with .tfrecord files.
            size: of the input of the network, in pixels: of a square, or height and width.
            batch_size: in images.
            fit: preprocess.STRETCH or preprocess.CROP.
            images: take that many, evenly spread over all records; None takes all.
            seed: shuffles all images anew in each epoch; None keeps their order.
            augmentation: for training; None for evaluation, calibration and the card.
            threads: that decode images.
            cache_mib: the fitted images are kept in memory if they take no more than that.
            classes: labels must be smaller than that; None does not check.
            scaling: what the network's input is of a pixel.
            targets: what is right, where it is not the label.

        Raises:
            SoftdpuError: if records are missing, broken, or fewer than asked for.
        """
        self._reader, self._selection = select(folder, images)
        count = len(self._selection)
        self._height, self._width = (size, size) if isinstance(size, int) else size
        if fit == preprocess.CROP and self._height != self._width:
            raise SoftdpuError(
                f"crop cuts squares out, the network takes {self._height}x{self._width}; take stretch (dataset.fit)"
            )
        self._batch_size, self._fit = batch_size, fit
        self._seed, self._augmentation = seed, augmentation or Augmentation()
        self.targets: Targets = targets or Labels(classes)
        self._scaling = scaling
        self.start(0)
        cv2.setNumThreads(1)  # parallel over images is better than inside one
        self._threads = threads
        self._cache: tuple[np.ndarray, np.ndarray] | None = None
        if count * self._height * self._width * 3 <= cache_mib << 20 and not self._augmentation.crop:
            self._cache = self._load_all()

    @property
    def images(self) -> int:
        """Return the number of images of one epoch."""
        return len(self._selection)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return height, width and channels of one input."""
        return self._height, self._width, 3

    @property
    def batch_size(self) -> int:
        """Return the number of images of every batch but an epoch's last."""
        return self._batch_size

    def __len__(self) -> int:
        return math.ceil(self.images / self._batch_size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return self.part(i)[:2]

    def part(self, i: int, number: int = 0, parts: int = 1) -> tuple[np.ndarray, np.ndarray, int]:
        """Return images and labels of part `number` of batch `i`, and the size of the whole batch.

        The parts of a batch are as even as can be, and together they are the batch: the same images, changed by the
        same random numbers. Nothing else of it is decoded.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"batch {i} of {len(self)}")
        batch = self._order[i * self._batch_size : (i + 1) * self._batch_size]
        rows = share(len(batch), number, parts)
        chosen = batch[rows]
        random = np.random.default_rng([self._seed or 0, self._epoch, i])
        if self._cache:
            pixels, labels = self._cache[0][chosen], self._cache[1][chosen]
        else:
            pixels, labels = self._load(chosen, random.random((len(batch), 2))[rows])
        if not self._augmentation.any():
            return preprocess.scale(pixels, self._scaling), labels, len(batch)
        flips = draw_flips(self._augmentation, random, len(batch))[rows]
        images = augment(preprocess.scale(pixels), self._augmentation, random, rows, len(batch), flips)
        labels = self.targets.flip(labels, flips)
        return images if self._scaling == preprocess.TF else rescale(images, self._scaling), labels, len(batch)

    def on_epoch_end(self) -> None:
        """Go to the next epoch: another order, other augmentations."""
        self.start(self._epoch + 1)

    def start(self, epoch: int) -> None:
        """Go to an epoch, counted from 0; its order and augmentations depend on the seed and its number alone."""
        self._epoch = epoch
        self._order = self._shuffle()

    def _shuffle(self) -> np.ndarray:
        if self._seed is None:
            return np.arange(self.images)
        return np.random.default_rng([self._seed, self._epoch]).permutation(self.images)

    def _load_one(self, i: int, place: np.ndarray) -> tuple[np.ndarray, Any]:
        """Decode image `i` of the selection; `place`, two numbers in 0..1, says where a random crop is cut out."""
        record = self._reader[int(self._selection[i])]
        try:
            target = self.targets.load(record)
            if self._augmentation.crop:
                image = preprocess.resize_short_side(preprocess.decode(record.image), self._height)
                top, left = (np.array(image.shape[:2]) - self._height + 1) * place
                image = image[int(top) : int(top) + self._height, int(left) : int(left) + self._width, ::-1]
            else:
                image = preprocess.load(record.image, self._height, self._width, self._fit)
        except ValueError as error:
            raise SoftdpuError(f"{self._reader.place(int(self._selection[i]))}: {error}") from None
        return image, target

    def _load(self, chosen: np.ndarray, places: np.ndarray, progress: bool = False) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.empty((len(chosen), *self.shape), np.uint8)
        labels = np.empty((len(chosen), *self.targets.shape), self.targets.dtype)

        def load_some(start: int) -> None:
            for i in range(start, min(start + _IMAGES_A_TASK, len(chosen))):
                pixels[i], labels[i] = self._load_one(int(chosen[i]), places[i])

        starts = range(0, len(chosen), _IMAGES_A_TASK)
        with ThreadPoolExecutor(self._threads) as pool:
            done = pool.map(load_some, starts)
            for _ in Steps("read", len(starts)).count(done) if progress else done:
                pass
        return pixels, labels

    def _load_all(self) -> tuple[np.ndarray, np.ndarray]:
        return self._load(np.arange(self.images), np.zeros((self.images, 2)), progress=self.images > 10000)


def rescale(images: np.ndarray, scaling: preprocess.Scaling) -> np.ndarray:
    """Return what another scaling gives for float32[n, h, w, 3] in -1..1."""
    pixels = (images[..., ::-1] if scaling.bgr else images) * 127.5 + 127.5
    return (pixels / np.array(scaling.divide) - np.array(scaling.subtract)).astype(np.float32)


def share(count: int, number: int, parts: int) -> slice:
    """Return which of `count` things are part `number` of `parts`."""
    return slice(count * number // parts, count * (number + 1) // parts)


def draw_flips(how: Augmentation, random: np.random.Generator, count: int) -> np.ndarray:
    """Return which of `count` images are flipped left to right, bool[count]; call it before what else is drawn."""
    return random.random(count) < 0.5 if how.flip else np.zeros(count, bool)


def augment(
    images: np.ndarray,
    how: Augmentation,
    random: np.random.Generator,
    rows: slice | None = None,
    whole: int | None = None,
    flips: np.ndarray | None = None,
) -> np.ndarray:
    """Return float32[n, h, w, 3] in -1..1 with `how`'s random changes, drawn for each image by itself.

    `rows` says which of a batch of `whole` images these are, if they are not all of it; `flips` what draw_flips drew.
    """
    count = len(images) if whole is None else whole
    rows = rows or slice(None)

    def draw(limit: float) -> np.ndarray:
        return random.uniform(-limit, limit, (count, 1, 1, 1)).astype(np.float32)[rows]

    if how.flip:
        flips = draw_flips(how, random, count)[rows] if flips is None else flips
        images = np.where(flips[:, None, None, None], images[:, :, ::-1], images)
    if how.brightness:
        images = images + 2 * draw(how.brightness)
    if how.contrast:
        mean = images.mean(axis=(1, 2), keepdims=True)
        images = mean + (images - mean) * (1 + draw(how.contrast))
    if how.saturation:
        grey = images @ np.array([[0.299], [0.587], [0.114]], np.float32)
        images = grey + (images - grey) * (1 + draw(how.saturation))
    return np.clip(images, -1, 1) if how.brightness or how.contrast or how.saturation else images
