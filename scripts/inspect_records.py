"""Draw a contact sheet of record files: some images of each class with their labels, and a histogram of the classes.

Example:
    python scripts/inspect_records.py --records build/tfrec_train --output build/inspect_train.png
"""

from __future__ import annotations

from softdpu.commands import values
from softdpu.dataset.contact_sheet import draw_sheet
from softdpu.output.cli import new_parser, program


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = new_parser(__doc__)
    parser.add_argument("--records", required=True, metavar="DIR", help="folder with .tfrecord files")
    parser.add_argument("--output", required=True, metavar="PNG", help="path of the picture")
    parser.add_argument("--images", type=values.positive, default=8, help="images of each class (default: 8)")
    parser.add_argument("--seed", type=values.seed, default=1, help="of the choice of images (default: 1)")
    args = parser.parse_args()
    print(draw_sheet(args.records, args.output, args.images, args.seed))


if __name__ == "__main__":
    raise SystemExit(main())
