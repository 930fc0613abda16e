"""A card folder that others made: what deploy, package and the app make of damaged and lying files in it."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from mutate import Door, mutate_bytes, mutate_json, mutate_text, seeded, tries

from softdpu.deploy import content, results
from softdpu.errors import SoftdpuError
from softdpu.output.files import sha256
from softdpu.package import manifest
from softdpu.report import stages

SUM = "0" * 64


def write_manifest(folder: Path, names: list[str]) -> None:
    (folder / manifest.NAME).write_text("".join(f"{sha256(folder / name)}  {name}\n" for name in names))


OUTSIDE = ["../secret", "images/../../secret", "/dev/null", "", ".", "a\x1b[2J", "a\0b", "x" * 5000]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_manifest_names_nothing_outside_its_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    (tmp_path / "secret").write_text("mine")
    (folder / manifest.NAME).write_text(f"{sha256(tmp_path / 'secret')}  {name}\n")
    with pytest.raises(SoftdpuError) as caught:
        content.list_entries(folder)
    assert "make the folder again" in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff\n", b"\0" * 200, SUM.encode() + b" name\n", b"g" * 64 + b"  name\n"])
def test_a_manifest_of_another_form(tmp_path: Path, data: bytes) -> None:
    (tmp_path / manifest.NAME).write_bytes(data)
    with pytest.raises(SoftdpuError, match=r"expected lines '<sha256>  <name>'"):
        manifest.read(tmp_path)


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "card"
    folder.mkdir()
    (tmp_path / "secret").write_text("mine")
    (folder / "labels.txt").symlink_to("../secret")
    write_manifest(folder, ["labels.txt"])
    with pytest.raises(SoftdpuError, match="leads out of the folder"):
        content.list_entries(folder)


def test_no_card_folder_gives_a_traceback(app, card, golden, capsys, tmp_path_factory) -> None:
    rng, door = seeded(9), Door("card folder")
    (card / "labels.txt").write_text("\n".join("abcdefghij") + "\n")
    (card / "preprocess.json").write_text(
        json.dumps({"fit": "crop", "scaling": {"order": "rgb", "divide": [127.5] * 3, "subtract": [1.0] * 3}})
    )
    report = {"accuracy": 0.5, "images": 1, "classes": {"0_image0.png": 0}, "threads": 1, "fps": 9.5}
    names = sorted(path.relative_to(card).as_posix() for path in card.rglob("*") if path.is_file())
    write_manifest(card, names)
    whole = {name: (card / name).read_bytes() for name in [*names, manifest.NAME]}
    outside = tmp_path_factory.mktemp("outside")

    def read_on_the_pc() -> None:
        text = whole[manifest.NAME].decode()
        (card / manifest.NAME).write_bytes(mutate_text(text, rng).encode("utf-8", "surrogateescape"))
        assert all(entry.path.resolve().is_relative_to(card) for entry in content.list_entries(card).values())

    def run_the_app() -> None:
        name = rng.choice(["preprocess.json", "golden/golden.json", "labels.txt", "images/0_image0.png"])
        data = whole[name]
        if name.endswith(".json") and rng.random() < 0.7:
            data = mutate_json(json.loads(data), rng).encode(errors="replace")
        else:
            data = mutate_bytes(data, rng)
        (card / name).write_bytes(data)
        code = app.main(["--check", "--verbose", "--json", str(outside / "found.json")])
        printed = capsys.readouterr()
        if code and printed.err:
            assert printed.err.startswith("error: ") and printed.err.count("\n") == 1, printed.err
            assert printed.err.strip().isprintable()
            raise SoftdpuError(printed.err.strip())
        assert all(line.isprintable() for line in printed.out.split("\n"))

    def read_results() -> None:
        path = outside / "run.json"
        path.write_bytes(mutate_json(report, rng).encode("utf-8", "surrogateescape"))
        rng.choice((results.read, stages.read_card))(path)

    for _ in range(tries(300)):
        door.attempt(rng.choice((read_on_the_pc, run_the_app, read_results)))
        for name, data in whole.items():
            if (card / name).read_bytes() != data:
                (card / name).write_bytes(data)
        assert {path.relative_to(card).as_posix() for path in card.rglob("*") if path.is_file()} == set(whole)
        assert {path.name for path in outside.iterdir()} <= {"found.json", "run.json"}
    with capsys.disabled():
        door.close()
    with contextlib.suppress(OSError):
        shutil.rmtree(outside)
