"""A small data set, drawn: discs, squares and triangles of any size and place, each image with a mask or boxes."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from softdpu.dataset import masks
from softdpu.output import files

CLASSES = ("disc", "square", "triangle")
CLASSES_FILE = "classes.txt"
MASK_CLASSES = ("ground", *CLASSES)
# A class for each pixel is learnt within a minute if a class has its colours; shapes alone take many times the images.
_MASK_COLOURS = np.array([[60, 60, 210], [60, 200, 60], [220, 130, 50]], np.uint8)
SIZE = 96
_MOST_SHAPES = 4
_RADII = (7, 26)  # pixels
_NOISE = 8
_LEAST_CONTRAST = 150
_DARK, _SPREAD = 80, 40


def draw_scene(
    random: np.random.Generator, size: int = SIZE, colours: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one image with its mask and its boxes.

    Args:
        random: draws it.
        size: height and width in pixels.
        colours: uint8[classes, 3], the colour that those of a class's shapes are near, on a dark ground; None for any.

    Returns:
        uint8[size, size, 3]; uint8[size, size], 0 for the ground, else 1 more than the class of the shape there;
        float64[n, 5], 1 to 4 boxes: class, middle x and y, width and height in shares of the size. The shapes do not
        touch.
    """
    ground = random.integers(0, 256 if colours is None else _DARK, 3)
    image = np.full((size, size, 3), ground, np.uint8)
    taken, classes = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    rows: list[tuple[float, ...]] = []
    for _ in range(int(random.integers(1, _MOST_SHAPES + 1))):
        kind = int(random.integers(len(CLASSES)))
        colour = _draw_colour(random, kind, colours)
        while abs(ground - colour).sum() < _LEAST_CONTRAST:
            colour = _draw_colour(random, kind, colours)
        mask = _draw_shape(kind, random, size)
        left, top, width, height = cv2.boundingRect(mask)
        if taken[top : top + height, left : left + width].any():
            continue
        taken[top : top + height, left : left + width] = 1
        image[mask > 0] = colour
        classes[mask > 0] = kind + 1
        rows.append((kind, (left + width / 2) / size, (top + height / 2) / size, width / size, height / size))
    noisy = image + random.normal(0, _NOISE, image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), classes, np.array(rows)


def _draw_colour(random: np.random.Generator, kind: int, colours: np.ndarray | None) -> np.ndarray:
    if colours is None:
        return random.integers(0, 256, 3)
    return np.clip(colours[kind].astype(int) + random.integers(-_SPREAD, _SPREAD + 1, 3), 0, 255)


def _draw_shape(kind: int, random: np.random.Generator, size: int) -> np.ndarray:
    """Return uint8[size, size], 255 inside of a shape that lies in the image."""
    mask = np.zeros((size, size), np.uint8)
    radius = int(random.integers(*_RADII))
    centre = random.integers(radius + 1, size - radius - 1, 2)
    if CLASSES[kind] == "disc":
        cv2.circle(mask, centre.tolist(), radius, 255, -1)
        return mask
    corners = 4 if CLASSES[kind] == "square" else 3
    angles = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(corners) / corners
    points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 255)
    return mask


def draw(task: str, folder: files.PathLike, train: int, val: int, seed: int = 1, size: int = SIZE) -> None:
    """Write images, what is right for each, and last classes.txt.

    Args:
        task: "segmentation" writes <split>/images/<number>.png and <split>/masks/<number>.png, "detection"
            images/<split>/<number>.png and labels/<split>/<number>.txt, as YOLO's tools have them.
        folder: to write to; what is left of a larger set that was drawn there goes.
        train: number of images to train with.
        val: number of images to validate with.
        seed: of the drawing; equal seeds give equal files.
        size: height and width of the images in pixels.
    """
    root = Path(folder)
    write, classes, colours = _WAYS[task]
    for number, (split, count) in enumerate((("train", train), ("val", val))):
        random = np.random.default_rng([seed, number])
        for i in range(count):
            write(root, split, f"{i:05}", *draw_scene(random, size, colours))
        for old in [
            *root.glob(f"*/{split}/*"),
            *root.glob(f"{split}/*/*"),
        ]:  # of a larger set that was drawn here before
            if re.fullmatch(r"\d{5}\.(png|txt)", old.name) and int(old.stem) >= count:
                old.unlink()
    files.write_text(root / CLASSES_FILE, "".join(f"{name}\n" for name in classes))


def _write_with_mask(root: Path, split: str, name: str, image: np.ndarray, mask: np.ndarray, _: np.ndarray) -> None:
    files.write_bytes(root / split / "images" / f"{name}.png", _encode(image))
    files.write_bytes(root / split / "masks" / f"{name}.png", masks.encode(mask))


def _write_with_boxes(root: Path, split: str, name: str, image: np.ndarray, _: np.ndarray, boxes: np.ndarray) -> None:
    lines = [f"{int(kind)} {x:.6f} {y:.6f} {width:.6f} {height:.6f}\n" for kind, x, y, width, height in boxes]
    files.write_bytes(root / "images" / split / f"{name}.png", _encode(image))
    files.write_text(root / "labels" / split / f"{name}.txt", "".join(lines))


def _encode(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


# By task: what writes an image with what is right for it, the classes, and the colours that they have.
_WAYS = {
    "segmentation": (_write_with_mask, MASK_CLASSES, _MASK_COLOURS),
    "detection": (_write_with_boxes, CLASSES, None),
}
TASKS = tuple(_WAYS)
