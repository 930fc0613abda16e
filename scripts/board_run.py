r"""Run the app of a card folder on a board over ssh, fetch its results and compare them with the PC's.

The folder is brought up to date on the board first. Leaves with exit code 1 if an image gets another class there.

Example:
    python scripts/board_run.py --folder build/target_zcu102 --target zcu102 --board root@192.168.1.227 \
        --pc build/run_zcu102.json --alpha 0.25 --input-size 64 --sweep 1 2 4 6 --output build/board_run_zcu102.json
"""

from __future__ import annotations

import argparse

from softdpu.deploy import commands
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line, run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_card_arguments(parser)
    commands.add_board_arguments(parser)
    commands.add_run_arguments(parser)
    commands.board_run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
