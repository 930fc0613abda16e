r"""Draw the report's pictures of accuracy: training curves, confusion matrices, images that flipped; or masks, boxes.

Each stage gives its files metrics.json and history.csv, and predictions.csv or what its task has in its place; one
without files is told to be missing.

Example:
    python scripts/report_accuracy.py --float build/float_model/*.{json,csv} --ptq build/quant_model/*.{json,csv} \
        --qat build/quant_ft_model/*.{json,csv} --records build/tfrec_val --output build/report
"""

from __future__ import annotations

from pathlib import Path

from softdpu import tasks
from softdpu.output.cli import new_parser, program
from softdpu.report.sections import draw_accuracy
from softdpu.report.stages import MEASURED


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = new_parser(__doc__)
    for stage, name in MEASURED.items():
        parser.add_argument(f"--{stage}", type=Path, nargs="*", default=[], metavar="FILE", help=f"files of: {name}")
    parser.add_argument("--records", type=Path, required=True, metavar="DIR", help="folder of the validation records")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--task", choices=list(tasks.TASKS), default="classification", help="what the network is for")
    args = parser.parse_args()
    measured = {stage: getattr(args, stage) for stage in MEASURED}
    draw_accuracy(measured, args.records, args.output, tasks.find(args.task))


if __name__ == "__main__":
    raise SystemExit(main())
