"""Files from the future, after a clock that was set back."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from workflow_tools import copy_project, snakemake

from softdpu.build import clock
from softdpu.errors import SoftdpuError


def write(path: Path, ahead: float) -> Path:
    path.write_text("x")
    os.utime(path, (time.time() + ahead,) * 2)
    return path


def test_files_from_the_future_get_the_present_time(tmp_path: Path) -> None:
    old, new, young = (write(tmp_path / str(seconds), seconds) for seconds in (-500, 90, 86400))
    before = old.stat().st_mtime
    told = clock.bring_back([young, old, new, tmp_path / "gone", young])
    assert re.match(r"2 files, .*/86400 first, had times up to 86400 s in the future", told)
    assert old.stat().st_mtime == before and max(new.stat().st_mtime, young.stat().st_mtime) <= time.time()
    assert clock.bring_back([young, old, new]) == ""


def test_a_file_whose_time_cannot_be_changed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = write(tmp_path / "model.h5", 50)
    monkeypatch.setattr(os, "utime", refuse)
    with pytest.raises(
        SoftdpuError, match=r"model.h5 is 50 s in the future .* \(Operation not permitted\); set the clock"
    ):
        clock.bring_back([path])


@pytest.mark.slow
def test_a_build_with_sources_from_the_future(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "project")
    tomorrow = time.time() + 86400
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (tomorrow, tomorrow))
    wanted = ["build/tfrec_val/manifest.json", "--config", "dataset={train_images: 100, val_images: 100}"]
    planned = snakemake(folder, "-n", *wanted)
    assert planned.returncode == 0 and (folder / "src/softdpu/tasks.py").stat().st_mtime > time.time() + 80000
    run = snakemake(folder, "-j2", *wanted)
    assert run.returncode == 0, run.stdout[-2000:]
    assert "s in the future, as after a clock that was set back" in run.stdout
    for path in (folder / "build").rglob("*.tfrecord"):
        os.utime(path, (tomorrow, tomorrow))
    again = snakemake(folder, "-n", *wanted)
    assert "Nothing to be done" in again.stdout, again.stdout
