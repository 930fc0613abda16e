r"""Copy a card folder to a board over ssh: only what changed, going on where an interrupted copy stopped, verified.

Example:
    python scripts/deploy.py --folder build/target_zcu102 --target zcu102 --board root@192.168.1.227
"""

from __future__ import annotations

from softdpu.commands import deploy
from softdpu.output.cli import script

main = script(deploy.add_deploy, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
