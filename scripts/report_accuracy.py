r"""Draw the report's pictures of accuracy: training curves, confusion matrices, and the images that flipped.

Each stage gives its files metrics.json, predictions.csv and history.csv; one without files is told to be missing.

Example:
    python scripts/report_accuracy.py --float build/float_model/*.{json,csv} --ptq build/quant_model/*.{json,csv} \
        --qat build/quant_ft_model/*.{json,csv} --records build/tfrec_val --output build/report
"""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.output.cli import program
from softdpu.report.sections import accuracy
from softdpu.report.stages import MEASURED


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for stage, name in MEASURED.items():
        parser.add_argument(f"--{stage}", type=Path, nargs="*", default=[], metavar="FILE", help=f"files of: {name}")
    parser.add_argument("--records", type=Path, required=True, metavar="DIR", help="folder of the validation records")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    args = parser.parse_args()
    accuracy({stage: getattr(args, stage) for stage in MEASURED}, args.records, args.output)


if __name__ == "__main__":
    raise SystemExit(main())
