r"""Draw a small data set for detection: discs, squares and triangles, with label files as YOLO has them.

Example:
    python scripts/draw_boxes.py --output data/shapes_boxes --train-images 3000 --val-images 500
"""

from __future__ import annotations

import argparse

from softdpu.commands.values import positive
from softdpu.dataset.draw_boxes import SIZE, draw
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", required=True, metavar="DIR", help="folder for images/, labels/ and classes.txt")
    add("--train-images", type=positive, default=3000, help="images to train with (default: 3000)")
    add("--val-images", type=positive, default=500, help="images to validate with (default: 500)")
    add("--seed", type=int, default=1, help="of the drawing (default: 1)")
    add("--size", type=positive, default=SIZE, help=f"height and width in pixels (default: {SIZE})")
    args = parser.parse_args()
    draw(args.output, args.train_images, args.val_images, args.seed, args.size)
    print(f"{args.output}: {args.train_images} images to train with, {args.val_images} to validate with")


if __name__ == "__main__":
    raise SystemExit(main())
