"""Draw the rules of the build as SVG, from the graph that Snakemake prints. Needs graphviz.

Example:
    snakemake target_zcu102 --rulegraph | python scripts/report_dag.py --output docs/pictures/dag.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

from softdpu.output.cli import new_parser, program
from softdpu.report.dag import draw_dag


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = new_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="SVG", help="path of the picture")
    args = parser.parse_args()
    draw_dag(sys.stdin.read(), args.output)


if __name__ == "__main__":
    raise SystemExit(main())
