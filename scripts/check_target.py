r"""Prove that a card folder gives the quantized Keras model's results: every output, every class, the accuracy.

Leaves with exit code 1 if anything differs.

Example:
    python scripts/check_target.py --target-dir build/target_zcu102 --model build/quant_ft_model/quant_ft.h5 \
        --output build/check_zcu102.json
"""

from __future__ import annotations

from pathlib import Path

from softdpu.output.cli import new_parser, program
from softdpu.package.check import check


@program
def main() -> None:
    """Parse the command line and check."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--target-dir", type=Path, required=True, metavar="DIR", help="the card folder")
    add("--model", type=Path, required=True, help="the quantized .h5 that its .xmodel was compiled from")
    add("--output", type=Path, required=True, help="path of the JSON file with the findings")
    add("--threads", type=int, default=2, help="threads of the app (default: 2)")
    args = parser.parse_args()
    check(args.target_dir, args.model, args.output, args.threads)


if __name__ == "__main__":
    raise SystemExit(main())
