"""Join the reports of the shards of a split to manifest.json and labels.txt, and count broken images.

Example:
    python scripts/merge_records.py --records build/tfrec_train --shards 8
"""

from __future__ import annotations

from softdpu.commands import records, values
from softdpu.dataset import make
from softdpu.output.cli import new_parser, program


@program
def main() -> None:
    """Parse the command line and merge."""
    parser = new_parser(__doc__)
    parser.add_argument("--records", required=True, metavar="DIR", help="folder with data_<i>.json of every shard")
    parser.add_argument("--shards", type=values.positive, required=True, help="number of shards")
    records.add_skipped(parser)
    args = parser.parse_args()
    make.merge(args.records, args.shards, args.max_skipped)


if __name__ == "__main__":
    raise SystemExit(main())
