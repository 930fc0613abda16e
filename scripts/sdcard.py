r"""Write a card folder to home/root of a mounted SD card's root file system, and read it back to verify it.

Example:
    python scripts/sdcard.py --folder build/target_zcu102 --target zcu102 --card /media/me/ROOTFS
"""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.deploy import commands
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_card_arguments(parser)
    parser.add_argument("--card", type=Path, required=True, metavar="DIR", help="where its root file system is mounted")
    commands.write_card(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
