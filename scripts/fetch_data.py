"""Fetch what a data set needs: the files of Fashion-MNIST, or ImageNet's val.txt, each checked by SHA-256.

Example:
    python scripts/fetch_data.py --output data/fashion_mnist
    python scripts/fetch_data.py --kind imagenet --output data/imagenet/val.txt
"""

from __future__ import annotations

from softdpu.dataset import fetch
from softdpu.output.cli import new_parser, program


@program
def main() -> None:
    """Parse the command line and fetch."""
    parser = new_parser(__doc__)
    parser.add_argument("--kind", choices=sorted(fetch.KINDS), default="fashion_mnist", help="default: fashion_mnist")
    parser.add_argument(
        "--output", required=True, help="fashion_mnist: folder for the four .gz files; imagenet: val.txt"
    )
    parser.add_argument(
        "--folder",
        metavar="PATH",
        help="fashion_mnist: folder that holds the four files already; imagenet: val.txt or a tar that holds it;"
        " without it they are downloaded",
    )
    args = parser.parse_args()
    print(f"{args.output}, from {fetch.KINDS[args.kind](args.output, args.folder)}")


if __name__ == "__main__":
    raise SystemExit(main())
