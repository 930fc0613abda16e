"""Draws a small folder of images as a user might have it: discs, squares and triangles of any colour, size and place.

python tests/training/draw_shapes.py FOLDER [--images 200]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

CLASSES = ("disc", "square", "triangle")
SIZE = 160


def draw(kind: str, random: np.random.Generator) -> np.ndarray:
    """Return uint8[SIZE, SIZE, 3]: one shape on a noisy ground."""
    ground, colour = random.integers(0, 256, (2, 3))
    while abs(ground - colour).sum() < 150:
        colour = random.integers(0, 256, 3)
    image = np.full((SIZE, SIZE, 3), ground, np.uint8)
    radius = int(random.integers(30, 60))
    centre = random.integers(radius + 4, SIZE - radius - 4, 2)
    if kind == "disc":
        cv2.circle(image, centre.tolist(), radius, colour.tolist(), -1, cv2.LINE_AA)
    else:
        corners = 4 if kind == "square" else 3
        angles = random.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(corners) / corners
        points = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(image, [points.round().astype(np.int32)], colour.tolist(), cv2.LINE_AA)
    noise = random.normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def draw_folder(folder: Path, images: int = 200, seed: int = 1) -> None:
    """Write folder/<class>/<number>.png, `images` in all, the classes even."""
    random = np.random.default_rng(seed)
    for i in range(images):
        kind = CLASSES[i % len(CLASSES)]
        (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / kind / f"{i:03}.png"), draw(kind, random))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    draw_folder(arguments.folder, arguments.images)
