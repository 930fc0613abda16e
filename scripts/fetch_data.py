"""Put the files of Fashion-MNIST, checked by SHA-256, into one folder.

Example:
    python scripts/fetch_data.py --output data/fashion_mnist
"""

from __future__ import annotations

import argparse

from softdpu.cli import program
from softdpu.dataset import fashion_mnist


@program
def main() -> None:
    """Parse the command line and fetch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="folder for the four .gz files")
    parser.add_argument(
        "--folder", help="folder that holds the four files already; without it: " + ", ".join(fashion_mnist.WAYS)
    )
    args = parser.parse_args()
    print(f"Fashion-MNIST in {args.output}, from {fashion_mnist.fetch(args.output, args.folder)}")


if __name__ == "__main__":
    raise SystemExit(main())
