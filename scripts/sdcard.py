r"""Write a card folder to home/root of a mounted SD card's root file system, and read it back to verify it.

Example:
    python scripts/sdcard.py --folder build/target_zcu102 --target zcu102 --card /media/me/ROOTFS
"""

from __future__ import annotations

from softdpu.commands import deploy
from softdpu.output.cli import script

main = script(deploy.add_sdcard, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
