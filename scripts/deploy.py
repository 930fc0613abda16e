r"""Copy a card folder to a board over ssh: only what changed, going on where an interrupted copy stopped, verified.

Example:
    python scripts/deploy.py --folder build/target_zcu102 --target zcu102 --board root@192.168.1.227
"""

from __future__ import annotations

import argparse

from softdpu.deploy import commands
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_card_arguments(parser)
    commands.add_board_arguments(parser)
    commands.deploy(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
