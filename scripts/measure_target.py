r"""Measure what the app of a card folder has found, where it cannot itself: for task none its outputs against float.

Example:
    python scripts/measure_target.py --task none --results build/outputs_zcu102.npz --card build/target_zcu102 \
        --reference build/float_model/float_model.h5 --output build/measured_zcu102.json
"""

from __future__ import annotations

from pathlib import Path

from softdpu.output.cli import new_parser, program
from softdpu.package.measure import MEASURES, measure


@program
def main() -> None:
    """Parse the command line and measure."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--task", choices=list(MEASURES), required=True, help="what the network is for")
    add("--results", type=Path, required=True, metavar="FILE", help="what the app wrote")
    add("--card", type=Path, required=True, metavar="DIR", help="the card folder")
    add("--reference", type=Path, metavar="H5", help="the float model, for task none")
    add("--output", type=Path, required=True, help="path of the JSON file")
    args = parser.parse_args()
    measure(args.task, args.results, args.card, args.reference, args.output)


if __name__ == "__main__":
    raise SystemExit(main())
