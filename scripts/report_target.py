r"""Draw the report's pictures of one target: ladder, compiled operations, the app's errors, throughput, prediction.

Example:
    python scripts/report_target.py --target zcu102 --build "MobileNet" --float build/float_model/metrics.json \
        --ptq build/quant_model/metrics.json --qat build/quant_ft_model/metrics.json --run build/run_zcu102.json \
        --sweep build/throughput_zcu102.json --xmodel build/compiled_model_zcu102/mobilenet.xmodel \
        --summary build/compiled_model_zcu102/summary.json --inspect build/inspect_zcu102.json \
        --predict build/predict_zcu102.json --labels build/tfrec_val/labels.txt --output build/report/zcu102
"""

from __future__ import annotations

from pathlib import Path

from softdpu import tasks
from softdpu.output.cli import new_parser, program
from softdpu.report.sections import draw_target
from softdpu.report.stages import MEASURED

FILES = {
    "run": "JSON file of the app, or what was measured of its results",
    "sweep": "JSON file of the app with --sweep",
    "xmodel": "the compiled model",
    "labels": "names of the classes, one per line",
    "summary": "our compiler's JSON file, if it was ours",
    "inspect": "the inspector's JSON file",
    "predict": "JSON file of the prediction",
}


@program
def main() -> None:
    """Parse the command line and draw."""
    parser = new_parser(__doc__)
    parser.add_argument("--target", required=True, help="its name, for the titles")
    parser.add_argument("--build", required=True, help="network and data in a few words, for the ladder")
    for stage, name in MEASURED.items():
        parser.add_argument(f"--{stage}", type=Path, nargs="*", default=[], metavar="FILE", help=f"files of: {name}")
    for option, text in FILES.items():
        required = option not in ("summary", "inspect", "predict")
        parser.add_argument(f"--{option}", type=Path, required=required, metavar="FILE", help=text)
    parser.add_argument(
        "--exported", type=Path, nargs="*", default=[], metavar="JSON", help="reports of exported files, for the ladder"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    parser.add_argument("--task", choices=list(tasks.TASKS), default="classification", help="what the network is for")
    args = parser.parse_args()
    files = {option: getattr(args, option) for option in FILES}
    measured = {stage: getattr(args, stage) for stage in MEASURED}
    draw_target(args.target, args.build, measured, files, args.output, args.exported, tasks.find(args.task))


if __name__ == "__main__":
    raise SystemExit(main())
