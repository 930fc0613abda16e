"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from softdpu.output import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    files.write_text(path, "old")
    with pytest.raises(RuntimeError), files.whole_file(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_the_part_keeps_the_suffix_and_the_result_is_readable(tmp_path: Path) -> None:
    with files.whole_file(tmp_path / "model.h5") as part:
        assert part.suffix == ".h5"
        part.write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "model.h5").stat().st_mode) & 0o400


def test_json_bytes_do_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a", {"x": 1, "y": [2]})
    files.write_json(tmp_path / "b", {"y": [2], "x": 1})
    assert files.sha256(tmp_path / "a") == files.sha256(tmp_path / "b")


def test_sha256_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert files.sha256(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_only_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    with open(files.open_file(tmp_path / "file"), "rb") as file:
        assert file.read() == b"abc"
    for name, told in (("pipe", "is a pipe or a device"), (".", "is a folder"), ("/dev/zero", "is a pipe or a device")):
        with pytest.raises(OSError, match=told):
            files.open_file(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        files.open_file(tmp_path / "missing")
