r"""Print the accuracies of float, PTQ, QAT and on-target side by side, the card folder and the command to run next.

Example:
    python scripts/ladder.py --float build/float_model/metrics.json --ptq build/quant_model/metrics.json \
        --qat build/quant_ft_model/metrics.json --target build/run_zcu102.json --folder build/target_zcu102 \
        --output build/ladder_zcu102.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.output.cli import program
from softdpu.package.ladder import find_exported, ladder

STEPS = {"float": "float model", "ptq": "quantized", "qat": "fine-tuned", "target": "on target"}


@program
def main() -> None:
    """Parse the command line and print the ladder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, name in STEPS.items():
        parser.add_argument(f"--{option}", type=Path, metavar="JSON", help=f"metrics of: {name}")
    parser.add_argument(
        "--exported", type=Path, nargs="*", default=[], metavar="JSON", help="reports of exported files, see export.py"
    )
    parser.add_argument("--folder", type=Path, required=True, help="the card folder")
    parser.add_argument("--command", default="python3 app_mt.py --threads 2", help="what to run in it")
    parser.add_argument("--output", type=Path, required=True, help="path of the JSON file")
    args = parser.parse_args()
    given = {name: getattr(args, option) for option, name in STEPS.items() if getattr(args, option)}
    given.update(find_exported(args.exported))
    ladder(given, args.output, args.folder, args.command)


if __name__ == "__main__":
    raise SystemExit(main())
