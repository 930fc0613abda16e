"""Boards, DPUs and fingerprints."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards

TABLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "dpu_targets.csv"
KNOWN = [
    ("zcu102", "1.4", 0x1000020F6014407),
    ("zcu102", "2.0", 0x1000020F6014407),
    ("zcu104", "2.5", 0x101000016010407),
    ("kv260", "3.0", 0x101000056010407),
    ("kv260_b3136", "1.4", 0x1000020F6014406),
    ("ultra96v2", "2.5", 0x101000016010404),
    ("vck190", "1.4", 0x601001036088131),
    ("vck190", "2.0", 0x602001036088231),
    ("vck190", "2.5", 0x603000B16011861),
    ("vck190", "3.0", 0x603000B56011861),
    ("vek280", "3.5", 0x901400044000E44),
    ("v70", None, 0x901400044000E44),
]


@pytest.mark.parametrize(("board", "version", "fingerprint"), KNOWN)
def test_fingerprint_of_board_and_version(board: str, version: str | None, fingerprint: int) -> None:
    assert boards.find_target(board, version).fingerprint == fingerprint


def test_every_board_has_a_dpu_for_each_of_its_versions() -> None:
    assert {"zcu102", "zcu104", "kv260", "kr260", "zcu111", "ultra96v2", "vck190", "vek280"} <= set(
        boards.list_targets()
    )
    for name in boards.list_targets():
        assert boards.find_target(name).name == name
        for fingerprint in {boards.find_target(name).fingerprint}:
            assert name in dict(boards.find_boards(fingerprint))


def test_parallelism_and_limits_of_b4096() -> None:
    dpu = boards.find_target("zcu102").dpu
    assert (dpu.pixel, dpu.input_channel, dpu.output_channel, dpu.augmentation, dpu.batch) == (8, 16, 16, 32, 1)
    assert dpu.operations_per_cycle == 4096
    assert dpu.limits["conv"].kernel == tuple(range(1, 17))
    assert dpu.limits["avg"].kernel[-1] == 256
    assert boards.find_target("zcu102", "2.0").dpu.limits["avg"].kernel == tuple(range(2, 9))
    assert [boards.find_target(name).batch for name in ("vck190", "vek280")] == [6, 14]


def test_unlisted_fingerprint_of_zynq_is_decoded() -> None:
    dpu = boards.find_dpu(0x101000016010407 & ~(1 << 26))
    assert dpu.augmentation == 0
    assert dpu.input_channel == 16


def test_decoding_gives_the_table_for_every_zynq_dpu() -> None:
    listed = [dpu for dpu in boards.list_dpus() if dpu.type == "DPUCZDX8G"]
    assert len(listed) == 36
    for dpu in listed:
        decoded = boards._decode_zynq(dpu.fingerprint)
        for field in ("augmentation", "conv", "dwconv", "pool", "eltwise", "other", "limits", "pixel", "alu_pixel"):
            assert getattr(decoded, field) == getattr(dpu, field), (dpu.name, field)


def test_table_holds_what_the_target_factory_defines() -> None:
    if not TABLE.is_file():
        pytest.skip("needs ../shared/data/dpu_targets.csv")
    mine = {(dpu.name, dpu.fingerprint): dpu for dpu in boards.list_dpus()}
    with open(TABLE, encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["fingerprint"]]
    for row in rows:
        dpu = mine[row["name"], int(row["fingerprint"], 16)]
        assert dpu.type == row["type"]
        assert dpu.isa == int(row["isa"], 16)
        assert dpu.batch == int(row["batch"] or 1)
        assert (dpu.input_channel, dpu.output_channel) == (int(row["conv_icp"]), int(row["conv_ocp"]))
        versions = {tag[1:] for tag in row["tags"].split("/") if "expired" not in tag}
        assert versions <= set(dpu.vitis_ai)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: boards.find_target("zcu1o2"), ["zcu1o2", "did you mean zcu102", "vek280"]),
        (lambda: boards.find_target("toaster"), ["toaster", "known targets are"]),
        (lambda: boards.find_target("vek280", "2.0"), ["vek280", "2.0", "3.5"]),
        (lambda: boards.parse_fingerprint("DPU B4096"), ["DPU B4096", "0x101000056010407"]),
        (lambda: boards.parse_fingerprint("-5"), ["-5"]),
        (lambda: boards.parse_fingerprint("0x1" + 16 * "0"), ["expected a fingerprint"]),
        (lambda: boards.find_dpu(0x6FFFFFFFFFFFFFF), ["DPUCVDX8G"]),
        (lambda: boards.find_dpu(0xFF00000000000001), ["no known DPU"]),
        (lambda: boards.find_dpu(0x10100001601040F), ["unknown size"]),
        (lambda: boards.choose_target(), ["give a target"]),
        (lambda: boards.choose_target(None, "4.0", "0x101000056010407"), ["4.0", "3.5"]),
        (lambda: boards.choose_target("zcu102", None, "0x101000056010407", "a.json"), ["not both"]),
    ],
)
def test_mistakes_are_told_in_one_line(call: object, words: list[str]) -> None:
    with pytest.raises(SoftdpuError) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_arch_json(tmp_path: Path) -> None:
    path = tmp_path / "arch.json"
    path.write_text(json.dumps({"fingerprint": "0x101000016010404"}))
    assert boards.find_target_by_arch(path).dpu.name == "DPUCZDX8G_ISA1_B1600"
    path.write_text(json.dumps({"target": "DPUCZDX8G_ISA1_B4096"}))
    assert boards.choose_target(arch=path, vitis_ai="2.5").fingerprint == 0x101000016010407
    assert boards.choose_target("zcu104", arch=path).cores == 2
    for text in ("{", "[]", '{"fingerprint": []}', '{"target": "DPUX"}'):
        path.write_text(text)
        with pytest.raises(SoftdpuError, match=r"arch\.json"):
            boards.find_target_by_arch(path)
    with pytest.raises(SoftdpuError, match="missing"):
        boards.find_target_by_arch(tmp_path / "missing.json")


def test_a_new_board_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = shutil.copytree(boards._DATA, tmp_path / "data")
    with open(data / "boards.csv", "a", encoding="utf-8") as file:
        file.write("myboard,My own board,DPUCZDX8G_ISA1_B2304,2.5 3.0,3.0,2,325,\n")
    monkeypatch.setattr(boards, "_DATA", data)
    boards._read_boards.cache_clear()
    try:
        made = boards.find_target("myboard")
        assert (made.fingerprint, made.cores, made.clock_mhz) == (0x101000056010405, 2, 325)
        assert "myboard" in boards.list_targets()
    finally:
        boards._read_boards.cache_clear()
