"""A configuration that is damaged or hostile: config.yaml, files laid over it, values of --config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from mutate import Door, mutate_bytes, mutate_text, mutate_value, seeded, tries

from softdpu.build import config as configuration
from softdpu.errors import SoftdpuError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "schemas/config.schema.yaml"


def _take(path: Path) -> None:
    configuration.refuse_doubled_keys([path])
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(read, dict):
        raise SoftdpuError("Snakemake refuses it: no keys and values")
    configuration.complete(read, SCHEMA)


def test_damaged_configurations_become_one_line(tmp_path: Path) -> None:
    seeds = [path.read_text(encoding="utf-8") for path in (ROOT / "config.yaml", *(ROOT / "config").glob("*.yaml"))]
    door, path = Door("config"), tmp_path / "config.yaml"
    for number in range(tries(150)):
        rng = seeded(number)
        text = rng.choice(seeds)
        kind = number % 4
        if kind == 0:
            path.write_bytes(mutate_bytes(text.encode(), rng))
        elif kind == 1:
            path.write_text(mutate_text(text, rng), encoding="utf-8", errors="surrogateescape")
        else:
            value = mutate_value(yaml.safe_load(text), rng)
            path.write_text(yaml.safe_dump(value, allow_unicode=True), encoding="utf-8", errors="surrogateescape")
        door.attempt(lambda: _take(path))
    door.close()


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: " + b"[" * 100_000, "nested"),
        (b"a: " + b"{b: " * 60 + b"1" + b"}" * 60, "nested"),
        (BOMB.encode(), "aliases"),
        (b"a: &a [*a]", "alias stands in itself"),
        ("dataset: {path: é}".encode("latin-1"), "line 1 is not UTF-8"),
        (b"dataset: {kind: '" + b"x" * 900_000 + b"'}", "dataset.kind: expected"),
        (b"x: '" + b"x" * 2_000_000 + b"'", "more than 1048576 bytes"),
        (b"train: {learning_rate: .nan}", "learning_rate: expected a number, got nan"),
        (b"train: {epochs: .inf}", "train.epochs"),
        (b"train: '{learning_rate: .nan}'", "learning_rate: expected a number, got nan"),
        (b"model: {file: 'a{x}.h5'}", "wildcard"),
        (b"dataset: {kind: image_folder, path: 'photos/{class}'}", "wildcard"),
        (b'model: {file: "a\\nb.h5"}', "line break"),
        (b"pathvars: {build: 'b{n}'}", "wildcard"),
        (b"\x00", "YAML"),
        (b"a: !!python/object/apply:os.system [true]", "a"),
        (b"? [a, b]\n: 1", "the key in line 1"),
    ],
)
def test_kinds_of_damage(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(SoftdpuError) as caught:
        _take(path)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_braces_in_other_values_and_texts_of_yaml_stay(tmp_path: Path) -> None:
    values: dict[str, Any] = {"train": "{epochs: 5}"}
    configuration.complete(values, SCHEMA)
    assert values["train"]["epochs"] == 5
