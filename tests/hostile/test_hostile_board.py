"""A board that lies: versions as words, banners, JSON of other types, answers without end, escape sequences."""

from __future__ import annotations

import json
import sys
import time

import pytest
from mutate import Door, mutate_json, mutate_text, seeded, tries

from softdpu.deploy import arm, connection, copying, query, results
from softdpu.errors import SoftdpuError
from softdpu.output.text import one_line, printable

REPLY = """\

@@machine
aarch64

@@system
PetaLinux 2022.2

@@rsync
/usr/bin/rsync

@@python
3.9 numpy cv2 google.protobuf.internal.builder

@@dpu
WARNING: Logging before InitGoogleLogging()
{
 "DPU IP Spec": {"DPU Core Count": 2},
 "VAI Version": {"libvart-runner.so": "Xilinx vart-runner Version: 3.0.0-c5d2 2023-01-13 "},
 "kernels": [{"fingerprint": "0x101000056010407"}, {"fingerprint": "0x101000056010407"}]
}
"""
REPORT = {
    "accuracy": 0.5,
    "images": 2,
    "classes": {"0_image0.png": 0, "1_image1.png": 0},
    "threads": 2,
    "fps": 100.5,
    "sweep": [{"threads": 1, "fps": 60.0}, {"threads": 2, "fps": 100.5}],
    "check": {"faults": [], "wrong_outputs": 0},
}


def is_clean(line: str) -> bool:
    return all(c.isprintable() for c in line) and len(line) < 1000


def test_the_reply_itself_is_read() -> None:
    board = query.read("Welcome\nto the board\n" + REPLY)
    assert board.text() == (
        "PetaLinux 2022.2 on aarch64, Python 3.9, Vitis AI 3.0; 2 DPU cores: DPUCZDX8G_ISA1_B4096 (0x101000056010407)"
    )
    assert board.rsync and len(board.modules) == 3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("3.9 numpy", "three.nine numpy", "Python none"),
        ("3.9 numpy", "3.9.1.2 numpy", "Python none"),
        ("3.9 numpy", "99999999999999999999999.1 numpy", "Python none"),
        ("3.9 numpy", "welcome, user\n3.9 numpy", "Python 3.9"),
        ("3.9 numpy", "٣.٩ numpy", "Python none"),
        ('{"libvart-runner.so"', '["libvart-runner.so"', "aarch64"),
        ("Version: 3.0", "Version: " + "9" * 5000 + ".0", "aarch64"),
        ("PetaLinux", "Peta\x1b[2J\x1b]0;title\x07Linux", r"Peta\x1b[2J\x1b]0;title\x07Linux"),
        ("PetaLinux", "\u202ePetaLinux" + "x" * 10000, r"\u202ePetaLinuxx"),
        ("0x101000056010407", "0x" + "1" * 400, "it tells of no DPU"),
        ("0x101000056010407", "0xffffffffffffffff", "an unknown DPU"),
        ('{\n "DPU', '{"a":' * 20000 + '{\n "DPU', "DPU core"),
    ],
)
def test_a_lie_about_the_board_is_no_answer(old: str, new: str, told: str) -> None:
    line = query.read(REPLY.replace(old, new)).text()
    assert told in line
    assert is_clean(line)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accuracy", "0.5"),
        ("accuracy", float("nan")),
        ("accuracy", 1.5),
        ("accuracy", True),
        ("images", "2"),
        ("images", 10**30),
        ("classes", ["0_image0.png"]),
        ("classes", {"0_image0.png": "zero"}),
        ("classes", {"0_image0.png": [0]}),
        ("threads", 0),
        ("fps", -1),
        ("fps", float("inf")),
        ("sweep", {"threads": 1}),
        ("sweep", [{"threads": 1}]),
        ("sweep", [1]),
        ("check", []),
        ("check", {"faults": "none"}),
        ("check", {"faults": [1]}),
        ("check", "passed"),
    ],
)
def test_results_of_other_types_are_refused(key: str, value: object) -> None:
    results.check(REPORT, "board")
    with pytest.raises(SoftdpuError, match=f"results with '{key}'"):
        results.check({**REPORT, key: value}, "board")


def test_no_board_reply_gives_a_traceback_or_reaches_the_terminal() -> None:
    rng, door = seeded(6), Door("board reply")

    def ask() -> None:
        board = query.read(mutate_text(REPLY, rng))
        assert is_clean(board.text())
        arm.read_settings(board)
        query.check_fingerprint(0x101000056010407, board.fingerprints, "zcu102")

    def compare() -> None:
        try:
            report = results.check(json.loads(mutate_json(REPORT, rng)), "board")
        except (ValueError, RecursionError):
            raise SoftdpuError("no JSON") from None  # as deploy says it
        found = {**results.compare(report, REPORT), "throughput": results.list_throughput(report), "runs_on": "DPU"}
        for line in results.show_text(found, "this network", "zcu102", None):
            assert is_clean(line)

    def reason() -> None:
        line = connection.explain(mutate_text("Connection refused\r\nPermission denied (publickey).", rng), "root@b")
        assert is_clean(line)

    for _ in range(tries(600)):
        door.attempt(rng.choice((ask, compare, reason)))
    door.close()


class Liar:
    """A connection whose board answers whatever is given."""

    address = "root@board"

    def __init__(self, told: str) -> None:
        self.told = told

    def run(self, *_: object, **__: object) -> object:
        return type("Done", (), {"stdout": self.told, "stderr": self.told, "returncode": 1})()


@pytest.mark.parametrize(
    "told", ["", "\n", "root\n", "root\nls\n", "a b c\nd e\n", "x\n\x1b[2J a b\n", "df\n/ a b c d\n"]
)
def test_why_a_folder_cannot_be_written_is_told_whatever_the_board_says(told: str) -> None:
    board: connection.Connection = Liar(told)  # type: ignore[assignment]
    for text in (copying._explain_folder(board, "f", told), copying._full(board, "f", 5)):
        assert is_clean(text)


def test_an_answer_without_end_is_cut_off() -> None:
    start = time.monotonic()
    with pytest.raises(SoftdpuError, match="more than 64 KiB"):
        connection.collect(["sh", "-c", "while :; do echo yes; done"], "", "board", 60, 1 << 16)
    with pytest.raises(SoftdpuError, match=r"did not answer within 0.5 s"):
        connection.collect(["sh", "-c", "sleep 60"], "", "board", 0.5)
    assert time.monotonic() - start < 40


def test_what_a_command_says_arrives() -> None:
    done = connection.collect([sys.executable, "-c", "print(input()); import sys; sys.exit(3)"], "é\n", "board", 60)
    assert (done.stdout, done.stderr, done.returncode) == ("é\n", "", 3)


def test_a_terminal_obeys_nothing() -> None:
    assert printable("a\x1b[31m\x85\u2028\u202e\udcff\tb\n") == "a\\x1b[31m\\x85\\u2028\\u202e\\udcff\tb\n"
    assert one_line("a\r\nb\x1b") == "a b\\x1b"
    assert len(one_line("x" * 9999)) == 2000
