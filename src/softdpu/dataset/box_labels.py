"""Label files of detection: a text file per image as YOLO has them, or one COCO json; every mistake is one line.

A box lies inside its image and has an area. What sticks out by no more than rounding does is cut off.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Iterable, NamedTuple  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.output.text import one_line

MOST_BOXES = 10000  # an image
_COLUMNS = 6  # left, top, right, bottom, class, crowd
_MOST_TEXT = 1 << 20  # bytes of a YOLO file
_MOST_JSON = 1 << 30  # bytes; the largest of COCO itself has 0.45 GiB
_ROUNDING = 2e-3  # of the image, by which a box may stick out


class Boxes(NamedTuple):
    """The boxes of one image.

    corners: float32[n, 4], left, top, right, bottom in shares of the image's width and height. classes: int64[n], from
    0. crowds: bool[n], whether a box is around many things at once, which a detector is not asked to tell apart.
    """

    corners: np.ndarray
    classes: np.ndarray
    crowds: np.ndarray


class CocoImage(NamedTuple):
    """An image of a COCO json: its name below the folder of images, and its boxes."""

    name: str
    boxes: Boxes


class Coco(NamedTuple):
    """A COCO json: the names of its categories in the order of their ids, its images in the order of their names."""

    classes: list[str]
    images: list[CocoImage]


def as_boxes(rows: Iterable[tuple[float, float, float, float, int, bool]]) -> Boxes:
    """Return boxes of rows left, top, right, bottom, class, crowd."""
    table = np.array(list(rows), np.float64).reshape(-1, 6)
    return Boxes(table[:, :4].astype(np.float32), table[:, 4].astype(np.int64), table[:, 5].astype(bool))


def pack(boxes: Boxes) -> bytes:
    """Return boxes as a record holds them: float32[n, 6] in little endian, left, top, right, bottom, class, crowd."""
    columns = [boxes.corners, boxes.classes[:, None], boxes.crowds[:, None]]
    return np.concatenate(columns, axis=1).astype("<f4").tobytes()


def unpack(data: bytes, classes: int) -> Boxes:
    """Return the boxes of a record.

    Raises:
        ValueError: if it holds something else, or classes that there are not.
    """
    if len(data) % (4 * _COLUMNS):
        raise ValueError(f"expected boxes of {_COLUMNS} numbers, got {len(data)} bytes")
    table = np.frombuffer(data, "<f4").reshape(-1, _COLUMNS)
    if not ((table >= 0).all() and (table[:, :4] <= 1).all() and (table[:, :2] < table[:, 2:4]).all()):
        raise ValueError("its boxes do not lie in the image; make the records again")
    if (table[:, 4] >= classes).any():
        raise ValueError(f"a box has class {int(table[:, 4].max())}, there are {classes} classes")
    return Boxes(table[:, :4].copy(), table[:, 4].astype(np.int64), table[:, 5] > 0)


def read_yolo(path: PathLike, classes: int) -> Boxes:
    """Read the label file of one image: a line a box, `class x y width height`, the middle and the sides in 0..1.

    Args:
        path: of the .txt; an empty file stands for an image with nothing on it.
        classes: how many there are.

    Raises:
        SoftdpuError: naming the line, if it is missing, too large, or a line is not such a box.
    """
    if not os.path.isfile(path):
        raise SoftdpuError(f"{path} is missing: each image needs a label file, an empty one if nothing is on it")
    if os.path.getsize(path) > _MOST_TEXT:
        raise SoftdpuError(f"{path} has more than {_MOST_TEXT} bytes, which no label file of an image has")
    lines = Path(path).read_bytes().decode("utf-8-sig", "backslashreplace").splitlines()
    rows = [_read_line(line.split(), f"{path}, line {i}", classes) for i, line in enumerate(lines, 1) if line.strip()]
    if len(rows) > MOST_BOXES:
        raise SoftdpuError(f"{path} has {len(rows)} boxes, at most {MOST_BOXES} are taken")
    return as_boxes(rows)


def _read_line(fields: list[str], place: str, classes: int) -> tuple[float, float, float, float, int, bool]:
    if len(fields) != 5:
        hint = "; it seems to be a polygon" if len(fields) > 6 and len(fields) % 2 else ""
        raise SoftdpuError(f"{place}: expected 5 numbers, class x y width height, got {len(fields)}{hint}")
    kind = fields[0]
    if not (kind.isascii() and kind.isdigit() and len(kind) < 10 and int(kind) < classes):
        raise SoftdpuError(f"{place}: the class must be 0 to {classes - 1}, got {one_line(kind, 40)}")
    x, y, width, height = (_number(text, place) for text in fields[1:])
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return (*_inside(corners, place), int(kind), False)


def _number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SoftdpuError(f"{place}: expected a number, got {one_line(text, 40)}")
    return value


def _inside(corners: Any, place: str, slack: float = _ROUNDING) -> tuple[float, float, float, float]:
    """Return the corners, in shares, cut at the image's edges; refuse what lies outside or has no area."""
    left, top, right, bottom = corners
    if min(left, top) < -slack or max(right, bottom) > 1 + slack:
        shown = ", ".join(f"{value:.4f}" for value in corners)
        raise SoftdpuError(f"{place}: the box lies outside the image: left, top, right, bottom are {shown} of it")
    left, top, right, bottom = (min(max(value, 0.0), 1.0) for value in corners)
    if not (right > left and bottom > top):
        raise SoftdpuError(f"{place}: the box has no area: width {right - left:.4g}, height {bottom - top:.4g}")
    return left, top, right, bottom


def read_coco(path: PathLike) -> Coco:
    """Read a COCO json: its images, annotations with bbox [left, top, width, height] in pixels, and categories.

    Raises:
        SoftdpuError: if it is missing, too large, no such json, or an entry is not what it must be.
    """
    found = _load_json(path)
    for key in ("images", "annotations", "categories"):
        if not isinstance(found.get(key), list) or not all(isinstance(one, dict) for one in found[key]):
            raise SoftdpuError(f"{path}: expected a COCO json, whose {key} is a list of objects")
    categories = {_entry(one, "id", int, f"{path}: categories"): one for one in found["categories"]}
    if not categories or len(categories) != len(found["categories"]):
        raise SoftdpuError(f"{path}: the categories need ids that differ, and there must be one at least")
    numbers = {key: i for i, key in enumerate(sorted(categories))}
    classes = [_entry(categories[key], "name", str, f"{path}: category {key}") for key in numbers]
    images = {}
    for one in found["images"]:
        key = _entry(one, "id", int, f"{path}: images")
        if key in images:
            raise SoftdpuError(f"{path}: two images have the id {key}")
        images[key] = _read_image(one, f"{path}: image {key}")
    names = [name for name, _, _ in images.values()]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SoftdpuError(f"{path}: the file {twice} stands there as two images")
    rows: dict[int, list[Any]] = {key: [] for key in images}
    for i, one in enumerate(found["annotations"]):
        place = f"{path}: annotation {one.get('id', i)}"
        image, kind = _entry(one, "image_id", int, place), _entry(one, "category_id", int, place)
        if image not in images or kind not in numbers:
            what = f"image {image}" if image not in images else f"category {kind}"
            raise SoftdpuError(f"{place}: there is no {what}")
        corners = _read_bbox(one.get("bbox"), images[image], place)
        rows[image].append((*corners, numbers[kind], one.get("iscrowd", 0) not in (0, False)))
        if len(rows[image]) > MOST_BOXES:
            raise SoftdpuError(f"{path}: image {image} has more than {MOST_BOXES} boxes")
    some = [CocoImage(images[key][0], as_boxes(rows[key])) for key in images]
    return Coco(classes, sorted(some, key=lambda image: image.name))


def _load_json(path: PathLike) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise SoftdpuError(f"{path}: no such file; name a COCO json")
    if os.path.getsize(path) > _MOST_JSON:
        raise SoftdpuError(f"{path} has more than {_MOST_JSON >> 20} MiB; split it")
    try:
        found = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise SoftdpuError(f"{path}: expected a COCO json, it is no JSON ({error})") from None
    if not isinstance(found, dict):
        raise SoftdpuError(f"{path}: expected a COCO json, an object, got {type(found).__name__}")
    return found


def _entry(one: dict[str, Any], key: str, kind: type, place: str) -> Any:
    value = one.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SoftdpuError(f"{place}: {key} must be {kind.__name__}, got {one_line(value, 40)}")
    return value


def _read_image(one: dict[str, Any], place: str) -> tuple[str, int, int]:
    """Return the name of an image's file, its height and its width."""
    name = _entry(one, "file_name", str, place)
    if not name.isprintable() or Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).name:
        raise SoftdpuError(f"{place}: file_name must be a path below the folder of images, got {one_line(name, 80)}")
    height, width = (_entry(one, key, int, place) for key in ("height", "width"))
    if not (0 < height < 1 << 20 and 0 < width < 1 << 20):
        raise SoftdpuError(f"{place}: height and width must be pixels, got {height} and {width}")
    return name, height, width


def _read_bbox(bbox: Any, image: tuple[str, int, int], place: str) -> tuple[float, float, float, float]:
    _, height, width = image
    numbers = bbox if isinstance(bbox, list) and len(bbox) == 4 else []
    good = [type(value) in (int, float) and abs(value) < 1e9 for value in numbers]  # which NaN is not
    if not good or not all(good):
        raise SoftdpuError(f"{place}: bbox must be 4 numbers, left, top, width, height, got {one_line(bbox, 80)}")
    left, top, wide, high = numbers
    corners = (left / width, top / height, (left + wide) / width, (top + high) / height)
    return _inside(corners, place, max(_ROUNDING, 1 / min(height, width)))
