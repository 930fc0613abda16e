"""A few validation images with their masks: the true ones and those that each stage of the network found."""

from __future__ import annotations

import colorsys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib.patches import Patch

from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import Reader, record_files
from softdpu.errors import SoftdpuError
from softdpu.numbers.segmentation import IGNORED
from softdpu.output.files import expecting
from softdpu.output.pictures import GREY, draw_placeholder, name_classes, picture
from softdpu.report.stages import NAMES, read_names, say_missing

PIXELS = 192  # of the longer side of an image
IMAGE, TRUTH = "image", "true mask"
# The first is dark, as the class that stands for nothing is most often the first.
_COLOURS = ("#303030", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
_MOST_NAMED = 20  # classes in the legend


class Masks(NamedTuple):
    """Masks of some validation images.

    Attributes:
        places: int64[n], their numbers among all.
        truth: uint8[n, h, w], the class of each pixel, or IGNORED.
        found: uint8[n, h, w], what the network says.
    """

    places: np.ndarray
    truth: np.ndarray
    found: np.ndarray


def draw(stages: Mapping[str, Path], records: Path, output: Path) -> None:
    """Draw the images as rows; image, true mask and the stages as columns.

    Args:
        stages: by stage, its predictions.npz.
        records: folder of the validation records.
        output: path of the SVG.

    Raises:
        SoftdpuError: if the masks cannot be read or are of other images.
    """
    found = read_stages(stages)
    first = next(iter(found.values()), None)
    if first is None or not len(first.places):
        draw_placeholder(output, "Validation images with their masks", say_missing("float"))
        return
    reader = Reader(record_files(records))
    if first.places.max() >= len(reader):
        raise SoftdpuError(f"{records} holds {len(reader)} images, the masks are of more; build the models again")
    height, width = first.truth.shape[1:]
    columns = [IMAGE, TRUTH, *(NAMES[stage] for stage in found)]
    side = 1.9 * min(1.6, max(0.6, height / width))
    with picture(output, 1.9 * len(columns), 0.9 + len(first.places) * (side + 0.25)) as figure:
        grid = figure.subplots(len(first.places), len(columns), squeeze=False)
        for i, place in enumerate(first.places):
            shown = [_read_image(reader, int(place), height, width), _paint(first.truth[i])]
            shown += [_paint(masks.found[i]) for masks in found.values()]
            texts = ["", "", *(_show_share(masks.truth[i], masks.found[i]) for masks in found.values())]
            for axes, pixels, text in zip(grid[i], shown, texts, strict=True):
                axes.imshow(pixels, interpolation="none")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                axes.set_xlabel(text, fontsize=8)
        for axes, name in zip(grid[0], columns, strict=True):
            axes.set_title(name)
        figure.legend(handles=_make_legend(found, read_names(records)), loc="outside lower left", ncols=6, fontsize=8)


def read_stages(paths: Mapping[str, Path]) -> dict[str, Masks]:
    """Return the masks of every stage, all of the same images.

    Raises:
        SoftdpuError: if a file cannot be read, or two of them are of other images.
    """
    found = {stage: read_masks(path) for stage, path in paths.items()}
    first = next(iter(found), "")
    for stage, masks in found.items():
        same = (np.array_equal(getattr(masks, key), getattr(found[first], key)) for key in ("places", "truth"))
        if not all(same):
            raise SoftdpuError(f"{paths[stage]} has masks of other images than {paths[first]}; build both again")
    return found


def read_masks(path: Path) -> Masks:
    """Return the masks in a file that training.tasks.segmentation wrote.

    Raises:
        SoftdpuError: if it is missing or none.
    """
    with expecting(path, "masks of validation images"):
        try:
            with np.load(path, allow_pickle=False) as held:
                masks = Masks(held["places"], held["truth"], held["found"])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise ValueError(str(error)) from None
        places, truth, found = masks
        if places.ndim != 1 or truth.ndim != 3 or truth.shape != found.shape or len(places) != len(truth):
            raise ValueError(f"shapes {places.shape}, {truth.shape}, {found.shape}")
        if places.dtype != np.int64 or {truth.dtype, found.dtype} != {np.dtype(np.uint8)} or (places < 0).any():
            raise ValueError(f"types {places.dtype}, {truth.dtype}, {found.dtype}")
        return masks


def _read_image(reader: Reader, place: int, height: int, width: int) -> np.ndarray:
    """Return the record's image, uint8[h, w, 3], stretched to the shape of the masks, PIXELS along its longer side."""
    return preprocess.fit_side(reader.read_image(place), PIXELS, cv2.INTER_LINEAR, (height, width))


def _choose_colour(label: int) -> tuple[int, int, int]:
    """Return red, green and blue of a class; colours far from each other where there are more than the palette has."""
    if label == IGNORED:
        return (255, 255, 255)
    if label < len(_COLOURS):
        text = _COLOURS[label]
        return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
    hue = 0.618034 * label % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 if label % 2 else 0.9, 0.9 if label % 3 else 0.6)
    return round(255 * red), round(255 * green), round(255 * blue)


def _paint(mask: np.ndarray) -> np.ndarray:
    """Return a mask in colours, uint8[h, w, 3]."""
    return np.array([_choose_colour(label) for label in range(256)], np.uint8)[mask]


def _show_share(truth: np.ndarray, found: np.ndarray) -> str:
    """Return how many of the pixels that count are right."""
    counted = truth != IGNORED
    return f"{100 * (found == truth)[counted].mean():.1f} % right" if counted.any() else "no pixel counts"


def _make_legend(found: Mapping[str, Masks], names: Sequence[str]) -> list[Patch]:
    """Return a patch for each class that is drawn, and one for pixels that do not count."""
    drawn = np.unique(np.concatenate([masks[i].ravel() for masks in found.values() for i in (1, 2)]))
    labels = [int(label) for label in drawn if label != IGNORED]
    shown = name_classes(names, max([len(names), *(label + 1 for label in labels)]))
    patches = [Patch(facecolor=_hex(label), edgecolor=GREY, label=shown[label]) for label in labels[:_MOST_NAMED]]
    if len(labels) > _MOST_NAMED:
        patches.append(Patch(facecolor="none", label=f"and {len(labels) - _MOST_NAMED} classes more"))
    if IGNORED in drawn:
        patches.append(Patch(facecolor="white", edgecolor=GREY, label="does not count"))
    return patches


def _hex(label: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*_choose_colour(label))
