"""A file that cannot be written or read: every program ends with one line that names it, and nothing half written."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from softdpu.errors import SoftdpuError
from softdpu.output import cli, files


def ends(work: object, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a program that does `work` and return its one line."""
    assert cli.program(work)() == 1  # type: ignore[arg-type]
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1, told
    return told


def write_to(path: Path) -> object:
    return lambda: files.write_text(path, "text")


def test_the_output_is_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{tmp_path}: Is a directory; name a file" in ends(write_to(tmp_path), capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["x.json", "deep/x.json"])
def test_the_parent_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str) -> None:
    (tmp_path / "file").write_text("kept")
    assert f"{tmp_path}/file" in ends(write_to(tmp_path / "file" / below), capsys)
    assert (tmp_path / "file").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


def test_a_device_or_a_pipe_keeps_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null"), Path("/dev/stdin")):
        if path.exists() and not path.is_file():
            assert f"{path} is a device, a pipe or a socket" in ends(write_to(path), capsys)
    assert not Path("/dev/null").is_file() and (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("other/file")
    for text in ("text", "another"):
        files.write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "other/file").read_text() == text
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["file"]


def test_a_disk_that_is_read_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "/part")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    told = ends(write_to(tmp_path / "a.json"), capsys)
    assert f"{tmp_path}/a.json: Read-only file system; the disk is mounted read-only" in told


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), OSError("h5py says: errno = 28, at 0x1")])
def test_a_full_disk_is_that_of_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], error: OSError) -> None:
    def work() -> None:
        with files.whole_file(tmp_path / "other" / "a.h5"):
            raise error

    assert f"the disk of {tmp_path}/other is full" in ends(work, capsys)
    assert list((tmp_path / "other").iterdir()) == []


def test_dev_full_is_told_as_a_full_disk(capsys: pytest.CaptureFixture[str]) -> None:
    assert "is full" in ends(lambda: Path("/dev/full").write_text("x"), capsys)


def test_a_name_with_a_newline_stays_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ends(lambda: open(tmp_path / "no\nsuch\x1b[2J\udcff"), capsys)  # noqa: SIM115
    assert "No such file or directory" in told and r"\x1b[2J\udcff" in told


def test_a_name_of_the_longest_kind_is_written(tmp_path: Path) -> None:
    name = "é" * 120 + ".h5"
    files.write_text(tmp_path / name, "x")
    assert (tmp_path / name).read_text() == "x"
    files.write_text(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.h5"), "x")


def test_another_errors_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, files.whole_file(tmp_path / "out"):
        open(tmp_path / "in")  # noqa: SIM115
    assert caught.value.filename == str(tmp_path / "in")


def test_a_mistake_with_an_escape_sequence_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise SoftdpuError("a\n\x1b[31mred")

    assert ends(work, capsys) == "error: a \\x1b[31mred\n"
    assert sys.stdout.errors  # and still a text stream


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.refuse_full_disk(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SoftdpuError, match="cannot be written: change its permissions"):
        files.refuse_full_disk(tmp_path)
