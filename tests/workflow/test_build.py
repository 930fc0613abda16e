"""The whole build: what it makes, that it can be killed and continued, and that it makes the same bytes again."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_tools import checksums, copy_project, environment, snakemake

from softdpu.build import locks

pytestmark = pytest.mark.slow


def test_the_build_ends_with_the_ladder(built: Path) -> None:
    log = (built / "build.log").read_text()
    for step in ("float", "quantized", "fine-tuned", "on target"):
        assert re.search(rf"^{step}.* \d+\.\d\d %", log, re.MULTILINE), log[-3000:]
    assert "cd build/target_zcu102 && python3 app_mt.py --threads 2" in log


def test_the_float_model_is_inspected_early(built: Path) -> None:
    layers = json.loads((built / "build/inspect_zcu102.json").read_text())["layers"]
    assert "DPU" in {layer.get("device") for layer in layers}
    assert "layers on the DPU, 0 on the CPU" in (built / "build.log").read_text()


def test_the_card_folder_is_whole(built: Path) -> None:
    card = built / "build/target_zcu102"
    subprocess.run(["sha256sum", "--check", "--quiet", "MANIFEST.sha256"], cwd=card, check=True)
    names = {path.relative_to(card).as_posix() for path in card.rglob("*") if path.is_file()}
    listed = {line.split("  ", 1)[1] for line in (card / "MANIFEST.sha256").read_text().splitlines()}
    assert names == listed | {"MANIFEST.sha256"}
    assert len([name for name in names if re.fullmatch(r"images/\d+_image\d+\.png", name)]) == 40


def test_the_app_prints_the_tutorials_lines(built: Path) -> None:
    run = subprocess.run(
        [sys.executable, "app_mt.py", "--threads", "2"],
        cwd=built / "build/target_zcu102",
        env=environment(built),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Found 40 images - processing 40 of them" in run.stdout
    line = re.search(r"^Correct:(\d+), Wrong:(\d+), Accuracy:(\d\.\d{4})$", run.stdout, re.MULTILINE)
    assert line and int(line[1]) + int(line[2]) == 40
    assert float(line[3]) == json.loads((built / "build/run_zcu102.json").read_text())["accuracy"]
    assert re.search(r"^FPS: \d+\.\d\d, total frames: 40, total time: \d+\.\d{3} seconds$", run.stdout, re.MULTILINE), (
        run.stdout
    )


def test_the_target_gives_the_bits_of_the_keras_model(built: Path) -> None:
    found = json.loads((built / "build/check_zcu102.json").read_text())
    assert found["images"] == 40
    assert f"Accuracy:{found['accuracy']:.4f}" in found["printed"]
    assert found["different_logits"] == 0
    assert found["different_classes"] == []
    assert found["logits"] == 400


def test_logs_are_lines(built: Path) -> None:
    logs = sorted((built / "logs").glob("*.log"))
    assert len(logs) > 8
    for log in logs:
        assert not re.search(rb"[\r\b\x1b]", log.read_bytes()), log


@pytest.mark.skipif(shutil.which("xir") is None, reason="Debian's libxir-utils is not installed")
def test_amds_own_library_reads_the_xmodel(built: Path, tmp_path: Path) -> None:
    xmodel = built / "build/compiled_model_zcu102/mobilenet.xmodel"
    tree = subprocess.run(["xir", "subgraph", str(xmodel)], capture_output=True, text=True, check=True).stdout
    assert "device=USER" in tree
    assert "device=DPU,fingerprint=0x101000056010407" in tree
    subprocess.run(["xir", "dump_txt", str(xmodel), str(tmp_path / "dump.txt")], check=True)
    assert "libvart-softdpu-runner.so" in (tmp_path / "dump.txt").read_text()


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["snakemake", "-j2", "target_zcu102"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_when(folder: Path, reached: Callable[[], bool]) -> None:
    """Start the build, and kill it with all its jobs as soon as `reached` is true."""
    build = start(folder)
    deadline = time.monotonic() + 300
    while not reached():
        assert build.poll() is None, "the build ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()


@pytest.mark.long
def test_a_killed_build_goes_on_and_makes_the_same_bytes(built: Path, tmp_path: Path) -> None:
    folder = copy_project(tmp_path / 'it\'s "killed" é')  # and so the shell's words are quoted in every rule
    log = folder / "logs/train.log"
    kill_when(folder, lambda: log.exists() and "Epoch 1/" in log.read_text(errors="replace"))
    assert not (folder / "build/float_model/float_model.h5").exists()
    card = folder / "build/target_zcu102"
    kill_when(folder, lambda: (card.parent / ".target_zcu102.part").exists() or card.exists())
    assert not (card / "MANIFEST.sha256").exists()
    run = snakemake(folder, "-j2", "target_zcu102", "check_zcu102")
    assert run.returncode == 0, run.stdout[-5000:]

    assert checksums(folder) == checksums(built)
    leftovers = [path for path in folder.rglob("*") if ".part" in path.name and "snakemake" not in str(path)]
    assert not leftovers


def is_locked(folder: Path) -> bool:
    with open(folder / locks.NAME, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_living_build_keeps_a_second_one_out(built: Path) -> None:
    edited = built / "scripts/ladder.py"
    old, stat = edited.read_bytes(), edited.stat()
    wait = b"import pathlib, time; [time.sleep(0.1) for _ in range(3000) if not pathlib.Path('go').exists()]"
    edited.write_bytes(old.replace(b"def main() -> None:", b"def main() -> None:\n    " + wait + b"\n", 1))
    deadline = time.monotonic() + 120
    try:
        first = start(built)
        while not is_locked(built / "build"):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        second = snakemake(built, "-j2", "target_zcu102")
        (built / "go").touch()
        assert first.wait() == 0
    finally:
        (built / "go").touch()
        edited.write_bytes(old)
        os.utime(edited, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert snakemake(built, "-j2", "target_zcu102").returncode == 0
        (built / "go").unlink()
    assert second.returncode != 0
    assert "locked" in second.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--config", "model={alpha: 0.3}"],
            "error: config: model.alpha: expected one of 0.25, 0.5, 0.75, 1.0, got 0.3",
        ),
        (["--config", "trian={}"], "error: config: unknown key trian: did you mean train?"),
        (["--config", "targets=[zcu201]"], "error: unknown target 'zcu201': did you mean"),
        (["target_zcu201"], "unknown target 'zcu201': did you mean"),
    ],
)
def test_a_wrong_request_is_told_and_nothing_runs(built: Path, arguments: list[str], told: str) -> None:
    run = snakemake(built, "-j2", *arguments)
    assert run.returncode != 0
    assert told in run.stdout
    assert "Traceback (most recent call last)" not in run.stdout
