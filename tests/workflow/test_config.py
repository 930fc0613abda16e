"""The configuration: defaults filled in, every wrong key told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from softdpu.build import config
from softdpu.errors import SoftdpuError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "schemas/config.schema.yaml"


def test_an_empty_config_becomes_the_defaults() -> None:
    empty: dict[str, Any] = {}
    config.check(empty, SCHEMA)
    assert empty["model"]["alpha"] == 0.25
    assert empty["targets"] == ["zcu102"]


def test_the_shipped_config_says_the_defaults() -> None:
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    filled: dict[str, Any] = {}
    config.check(filled, SCHEMA)
    for section, values in shipped.items():
        if isinstance(values, dict):
            assert values == {key: filled[section][key] for key in values}
        else:
            assert values == filled[section]


def test_text_from_the_command_line_is_read_as_yaml() -> None:
    given: dict[str, Any] = {"train": {"epochs": "2", "augment": {"flip": "true"}}, "compile": {"vitis_ai": "2.5"}}
    config.check(given, SCHEMA)
    assert given["train"]["epochs"] == 2
    assert given["train"]["augment"]["flip"] is True
    assert given["compile"]["vitis_ai"] == "2.5"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"modle": {}}, "unknown key modle: did you mean model?"),
        ({"train": {"epoch": 3}}, "unknown key train.epoch: did you mean epochs?"),
        ({"train": {"xyzzy": 3}}, "unknown key train.xyzzy: known are"),
        ({"train": {"epochs": "three"}}, "train.epochs: expected type integer, got 'three'"),
        ({"train": {"epochs": 0}}, "train.epochs: expected minimum 1, got 0"),
        ({"train": None}, "train: expected type object, got None"),
        ({"model": {"alpha": 0.3}}, "model.alpha: expected one of 0.25, 0.5, 0.75, 1.0, got 0.3"),
        ({"model": {"input_size": 16}}, "model.input_size: expected minimum 32, got 16"),
        ({"model": {"weights": ""}}, "model.weights: expected a text that is not empty, or null, got ''"),
        ({"targets": []}, "targets: expected minItems 1"),
        ({"toolchain": "other"}, "toolchain: expected one of"),
    ],
)
def test_a_wrong_config_is_told_in_one_line(given: dict[str, Any], told: str) -> None:
    with pytest.raises(SoftdpuError) as caught:
        config.check(given, SCHEMA)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
