r"""Print the metrics of float, PTQ, QAT and on-target side by side, the card folder and the command to run next.

Example:
    python scripts/ladder.py --float build/float_model/metrics.json --ptq build/quant_model/metrics.json \
        --qat build/quant_ft_model/metrics.json --target build/run_zcu102.json --folder build/target_zcu102 \
        --output build/ladder_zcu102.json
"""

from __future__ import annotations

from pathlib import Path

from softdpu import tasks
from softdpu.output.cli import new_parser, program
from softdpu.package.ladder import find_exported, write_ladder

STEPS = {"float": "float model", "ptq": "quantized", "qat": "fine-tuned", "target": "on target"}


@program
def main() -> None:
    """Parse the command line and print the ladder."""
    parser = new_parser(__doc__)
    for option, name in STEPS.items():
        parser.add_argument(f"--{option}", type=Path, metavar="JSON", help=f"metrics of: {name}")
    parser.add_argument(
        "--exported", type=Path, nargs="*", default=[], metavar="JSON", help="reports of exported files, see export.py"
    )
    parser.add_argument("--folder", type=Path, required=True, help="the card folder")
    parser.add_argument("--command", help="what to run in it (default: the task's app with two threads)")
    parser.add_argument("--task", choices=list(tasks.TASKS), default="classification", help="what the network is for")
    parser.add_argument("--output", type=Path, required=True, help="path of the JSON file")
    args = parser.parse_args()
    given = {name: getattr(args, option) for option, name in STEPS.items() if getattr(args, option)}
    given.update(find_exported(args.exported))
    task = tasks.find(args.task)
    write_ladder(given, args.output, args.folder, args.command or f"python3 {task.app} --threads 2", task)


if __name__ == "__main__":
    raise SystemExit(main())
