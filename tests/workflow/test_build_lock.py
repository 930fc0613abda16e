"""One build at a time in a folder; the lock of a killed one is gone with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from softdpu.build import locks
from softdpu.errors import SoftdpuError

_HOLDER = """
import sys, time
from pathlib import Path
from softdpu.build import locks
locks.hold(Path(sys.argv[1]))
print("holding", flush=True)
time.sleep(60)
"""


def test_only_a_living_builds_lock_keeps_others_out(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        with pytest.raises(SoftdpuError, match="is locked: another build runs there"):
            locks.hold(tmp_path)
    finally:
        holder.kill()
        holder.wait()
    program = _HOLDER.replace("60", "0")
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", program, str(tmp_path)]).returncode == 0
