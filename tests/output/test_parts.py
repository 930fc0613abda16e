"""What a killed process leaves beside a file is cleared away; what a living one writes is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from softdpu.output import files, parts

WRITER = """
import sys, time
from softdpu.output import files
with files.whole_file(sys.argv[1]) as part:
    part.write_bytes(b"half")
    print("begun", flush=True)
    sys.stdin.read()
"""


def start_writer(path: Path) -> subprocess.Popen[str]:
    """Start a process that has begun to write `path` and waits."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], text=True, **pipes)  # type: ignore[call-overload]
    assert writer.stdout and writer.stdout.readline() == "begun\n"
    return writer  # type: ignore[no-any-return]


def kill(writer: subprocess.Popen[str]) -> None:
    writer.kill()
    writer.communicate()


def list_parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".part-"))


NAMES = ["net.h5", "a b'c.xmodel", "é\n.json", "-", "x" * 250, "é" * 120 + ".h5", ".part-", os.fsdecode(b"\xff.txt")]


@pytest.mark.parametrize("name", NAMES)
def test_the_part_of_a_killed_process_goes_with_the_next_write(tmp_path: Path, name: str) -> None:
    kill(start_writer(tmp_path / name))
    assert len(list_parts(tmp_path)) == 1
    files.write_text(tmp_path / name, "whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "whole"


def test_the_part_of_a_living_process_stays(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    writer = start_writer(path)
    before = list_parts(tmp_path)
    files.write_text(path, "mine")
    assert list_parts(tmp_path) == before and path.read_text() == "mine"
    writer.communicate("")
    assert writer.returncode == 0 and path.read_bytes() == b"half" and not list_parts(tmp_path)


@pytest.mark.parametrize("other", ["et.h5", "net.h5x", "a-net.h5", "net", "NET.h5"])
def test_parts_of_other_files_stay(tmp_path: Path, other: str) -> None:
    kill(start_writer(tmp_path / other))
    files.write_text(tmp_path / "net.h5", "mine")
    assert len(list_parts(tmp_path)) == 1


def test_a_part_whose_process_has_its_number_by_chance_goes(tmp_path: Path) -> None:
    name = parts.make(tmp_path / "net.h5").name
    start = name.split("-")[1].rsplit(".", 1)[1]
    (tmp_path / name).rename(tmp_path / name.replace(f".{start}-", f".{int(start) + 1}-"))
    parts._left_behind.cache_clear()
    files.write_text(tmp_path / "net.h5", "mine")
    assert not list_parts(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        ".part-net.h5",
        ".part-abcdefgh-net.h5",  # of an earlier version, which told nothing of its process
        ".part-00000000.999999999.1-abcdefgh-net.h5",  # of another machine
        ".part-{machine}.999999999.1-ab-cd-net.h5",
        ".part-{machine}.99999999999999999999.1-abcdefgh-net.h5",
        ".part-{machine}.1.x-abcdefgh-net.h5",
    ],
)
def test_what_does_not_say_that_its_process_has_ended_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name.format(machine=parts._machine())
    path.write_text("who knows")
    files.write_text(tmp_path / "net.h5", "mine")
    assert path.read_text() == "who knows"


def test_a_folder_of_the_name_of_a_part_disturbs_nothing(tmp_path: Path) -> None:
    (tmp_path / f".part-{parts._machine()}.999999999.1-abcdefgh-net.h5").mkdir()
    files.write_text(tmp_path / "net.h5", "mine")
    assert (tmp_path / "net.h5").read_text() == "mine"


def test_many_files_in_a_folder_take_no_time_for_each_other(tmp_path: Path) -> None:
    for i in range(2000):
        (tmp_path / f"{i}").touch()
    parts._left_behind.cache_clear()
    start = time.process_time()
    for i in range(200):
        parts.make(tmp_path / f"{i}").unlink()
    assert time.process_time() - start < 2
    assert parts._left_behind.cache_info().misses == 1


def test_another_users_process_is_taken_for_living(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not parts._has_ended(1, 1)
