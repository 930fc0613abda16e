"""A card folder goes to a mounted SD card, here a folder that looks like one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from script_tools import SCRIPTS, error, script

from softdpu.deploy import content, sdcard
from softdpu.errors import SoftdpuError


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    folder = tmp_path / "ROOTFS"
    for name in ("etc", "usr", "home/root"):
        (folder / name).mkdir(parents=True)
    return folder


def write(folder: Path, card: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return script("sdcard.py", "--folder", folder, "--target", "zcu102", "--card", card, *words)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_writes_what_differs_and_verifies(cards, rootfs):
    folder, there = cards / "amd" / "target_zcu102", rootfs / "home" / "root" / "target_zcu102"
    first = write(folder, rootfs)
    count = len(contents(folder))
    assert f"{count} files, {count} written, all verified; unmount the card" in first.stdout
    assert contents(there) == contents(folder)

    (there / "images" / "3_image99.png").write_bytes(b"of another build")
    (there / "images" / "mine.png").write_bytes(b"mine")
    (there / "app_mt.py").write_text("damaged")
    second = write(folder, rootfs)
    assert f"{count} files, 1 written" in second.stdout
    assert contents(there) == {**contents(folder), "images/mine.png": b"mine"}
    assert f"{count} files, 0 written" in write(folder, rootfs).stdout
    done = subprocess.run(["sha256sum", "-c", "--quiet", "MANIFEST.sha256"], cwd=there)
    assert done.returncode == 0


def test_a_model_of_softdpu(cards, rootfs):
    folder = cards / "ours" / "target_zcu102"
    assert "holds no instructions for the DPU of zcu102" in error(write(folder, rootfs))
    assert not list((rootfs / "home" / "root").iterdir())
    done = write(folder, rootfs, "--allow-softdpu")
    assert "cd ~/target_zcu102 && PYTHONPATH=softdpu_runtime SOFTDPU_ENGINE=reference python3 app_mt.py" in done.stdout
    assert (rootfs / "home" / "root" / "target_zcu102" / "softdpu_runtime" / "xir" / "graph.py").exists()


def test_places_that_are_no_card(cards, rootfs, tmp_path):
    folder = cards / "amd" / "target_zcu102"
    assert "no such folder:" in error(write(folder, tmp_path / "nowhere"))
    assert "this machine's own root file system" in error(write(folder, Path("/")))
    (tmp_path / "BOOT").mkdir()
    assert "is not the root file system of AMD's SD-card image: it has no etc/" in error(
        write(folder, tmp_path / "BOOT")
    )
    shutil.rmtree(rootfs / "home")
    assert "it has no home/root/" in error(write(folder, rootfs))


def test_a_full_card(cards, rootfs):
    home = rootfs / "home" / "root"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(home)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        line = error(write(cards / "big" / "target_zcu102", rootfs))
        assert not list(home.iterdir())
    finally:
        subprocess.run(["umount", str(home)], check=True)
    assert "has no room: 7.1 MB are needed and 2.1 MB free" in line


@pytest.mark.parametrize("mode", [0o555, 0o700])
def test_a_card_that_one_may_not_write(cards, rootfs, mode):
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("only root can give a folder away and then do without a root's rights")
    home = rootfs / "home" / "root"
    home.chmod(mode)
    os.chown(home, 12345, 12345)
    line = [sys.executable, str(SCRIPTS / "sdcard.py"), "--folder", str(cards / "amd" / "target_zcu102")]
    line += ["--target", "zcu102", "--card", str(rootfs)]
    as_user = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = subprocess.run([*as_user, *line], capture_output=True, text=True, timeout=60)
    assert "you may not write" in error(done) and "run scripts/sdcard.py as root" in done.stderr


def test_damage_is_found(cards, rootfs, monkeypatch):
    folder = rootfs / "home" / "root" / "target_zcu102"
    entries = content.list_entries(cards / "amd" / "target_zcu102")
    assert sdcard.write(entries, folder) == len(entries)
    assert sdcard.verify(entries, folder) == []
    file = folder / "images" / "4_image4.png"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    (folder / "labels.txt").unlink()
    assert sorted(sdcard.verify(entries, folder)) == ["images/4_image4.png", "labels.txt"]

    def worn_out(source, target):
        data = Path(source).read_bytes()
        Path(target).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    monkeypatch.setattr(shutil, "copyfile", worn_out)
    with pytest.raises(SoftdpuError, match=r"2 files read back from .* are damaged, .*: write them again"):
        sdcard.write(entries, folder)
