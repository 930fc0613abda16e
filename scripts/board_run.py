r"""Run the app of a card folder on a board over ssh, fetch its results and compare them with the PC's.

The folder is brought up to date on the board first. Leaves with exit code 1 if an image gets another class there.

Example:
    python scripts/board_run.py --folder build/target_zcu102 --target zcu102 --board root@192.168.1.227 \
        --pc build/run_zcu102.json --alpha 0.25 --input-size 64 --sweep 1 2 4 6 --output build/board_run_zcu102.json
"""

from __future__ import annotations

from softdpu.commands import deploy
from softdpu.output.cli import script

main = script(deploy.add_board_run, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
