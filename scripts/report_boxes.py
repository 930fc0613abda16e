r"""Draw some validation images for the report, with the true boxes and those of each stage of the network.

Example:
    python scripts/report_boxes.py --float build/float_model/boxes.csv --ptq build/quant_model/boxes.csv \
        --records build/tfrec_val --output build/report/boxes.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.output.cli import program
from softdpu.report.boxes import draw
from softdpu.report.stages import MEASURED


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for stage, name in MEASURED.items():
        parser.add_argument(f"--{stage}", type=Path, nargs="*", default=[], metavar="FILE", help=f"files of: {name}")
    parser.add_argument("--records", type=Path, required=True, metavar="DIR", help="folder of the validation records")
    parser.add_argument("--output", type=Path, required=True, help="path of the SVG")
    args = parser.parse_args()
    draw({stage: getattr(args, stage) for stage in MEASURED}, args.records, args.output)


if __name__ == "__main__":
    raise SystemExit(main())
