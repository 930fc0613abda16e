"""A small data set for segmentation, drawn: discs, squares and triangles on a ground, with a mask for each image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from softdpu.dataset import draw_boxes, masks
from softdpu.dataset.mask_folder import CLASSES as CLASSES_FILE
from softdpu.output import files

CLASSES = ("ground", *draw_boxes.CLASSES)
SIZE = draw_boxes.SIZE
# A class for each pixel is learnt within a minute if a class has its colours; shapes alone take many times the images.
COLOURS = np.array([[60, 60, 210], [60, 200, 60], [220, 130, 50]], np.uint8)


def draw(folder: files.PathLike, train: int, val: int, seed: int = 1, size: int = SIZE) -> None:
    """Write <split>/images/<number>.png, <split>/masks/<number>.png and last classes.txt.

    Args:
        folder: to write to.
        train: number of images to train with.
        val: number of images to validate with.
        seed: of the drawing; equal seeds give equal files.
        size: height and width of the images in pixels.
    """
    root = Path(folder)
    for number, (split, count) in enumerate((("train", train), ("val", val))):
        random = np.random.default_rng([seed, number])
        for i in range(count):
            image, mask, _ = draw_boxes.draw_scene(random, size, COLOURS)
            for name, data in (("images", cv2.imencode(".png", image)[1].tobytes()), ("masks", masks.encode(mask))):
                (root / split / name).mkdir(parents=True, exist_ok=True)
                (root / split / name / f"{i:05}.png").write_bytes(data)  # classes.txt says that all are there
    files.write_text(root / CLASSES_FILE, "".join(f"{name}\n" for name in CLASSES))
