r"""Draw a small data set of discs, squares and triangles: for detection with YOLO's label files, or with masks.

Example:
    python scripts/draw_shapes.py --task segmentation --output my_shapes --train-images 200 --val-images 50
"""

from __future__ import annotations

from softdpu.commands.values import positive, seed
from softdpu.dataset.drawn_shapes import SIZE, TASKS, draw
from softdpu.output.cli import new_parser, program


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--task", required=True, choices=TASKS, help="what is right for an image: a mask, or boxes")
    add("--output", required=True, metavar="DIR", help="folder for the images, what is right for them, and classes.txt")
    add("--train-images", type=positive, default=3000, help="images to train with (default: 3000)")
    add("--val-images", type=positive, default=500, help="images to validate with (default: 500)")
    add("--seed", type=seed, default=1, help="of the drawing (default: 1)")
    add("--size", type=positive, default=SIZE, help=f"height and width in pixels (default: {SIZE})")
    args = parser.parse_args()
    draw(args.task, args.output, args.train_images, args.val_images, args.seed, args.size)
    print(f"{args.output}: {args.train_images} images to train with, {args.val_images} to validate with")


if __name__ == "__main__":
    raise SystemExit(main())
