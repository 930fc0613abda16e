r"""Compare the variants of a sweep: print a table, write it as table.csv and table.json, and draw sweep.svg.

Example:
    python scripts/compare_variants.py narrow/zcu102 wide/zcu102 --build build --output build/sweep
"""

from __future__ import annotations

from pathlib import Path

from softdpu import tasks
from softdpu.output.cli import new_parser, program
from softdpu.sweep.compare import compare


@program
def main() -> None:
    """Parse the command line and compare."""
    parser = new_parser(__doc__)
    parser.add_argument("compared", nargs="+", metavar="VARIANT/TARGET", help="one row of the table each")
    parser.add_argument("--build", type=Path, default=Path("build"), help="folder of the build (default: build)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the table and the picture")
    measured = [task.name for task in tasks.TASKS.values() if task.metrics]
    parser.add_argument("--task", choices=measured, default="classification", help="what the networks are for")
    args = parser.parse_args()
    compare(args.build, args.compared, args.output, tasks.find(args.task))


if __name__ == "__main__":
    raise SystemExit(main())
