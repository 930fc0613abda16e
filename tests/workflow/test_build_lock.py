"""A killed build's lock goes, a living one's stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from softdpu.build import locks as build_lock

_HOLDER = """
import sys, time
from pathlib import Path
from softdpu.build import locks as build_lock
build_lock.hold(Path(sys.argv[1]))
print("holding", flush=True)
time.sleep(60)
"""


def test_only_a_dead_builds_lock_is_removed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    lock = tmp_path / "locks" / "0.output.lock"
    lock.touch()
    assert not build_lock.clear_stale(tmp_path)  # a lock of a build that this module knows nothing of
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        assert not build_lock.clear_stale(tmp_path)
        assert lock.exists()
        subprocess.run([sys.executable, "-c", _HOLDER.replace("60", "0"), str(tmp_path)], check=True)  # a second build
        assert not build_lock.clear_stale(tmp_path)
    finally:
        holder.kill()
        holder.wait()
    assert build_lock.clear_stale(tmp_path)
    assert not lock.exists()
    assert not build_lock.clear_stale(tmp_path)
