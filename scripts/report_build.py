r"""Draw what each rule took in time and memory, and write where the build comes from.

Example:
    python scripts/report_build.py --config '{"targets": ["zcu102"]}' --benchmarks logs/benchmarks \
        --manifests build/tfrec_*/manifest.json --files build/*/*.h5 --output build/report
"""

from __future__ import annotations

import json
from pathlib import Path

from softdpu.output.cli import new_parser, program
from softdpu.report.sections import draw_build


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = new_parser(__doc__)
    add = parser.add_argument
    add("--config", type=json.loads, required=True, metavar="JSON", help="the whole configuration")
    add("--benchmarks", type=Path, required=True, metavar="DIR", help="folder of Snakemake's benchmark files")
    add("--manifests", type=Path, nargs="+", required=True, metavar="JSON", help="manifests of the records")
    add("--files", type=Path, nargs="+", required=True, metavar="FILE", help="files whose checksums are shown")
    add("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    args = parser.parse_args()
    draw_build(args.config, args.benchmarks, args.manifests, args.files, args.output)


if __name__ == "__main__":
    raise SystemExit(main())
