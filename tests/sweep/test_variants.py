"""Variants of a sweep: merged over the configuration, equal stages shared, wrong ones told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from softdpu.build import config as configuration
from softdpu.errors import SoftdpuError
from softdpu.sweep import variants

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "schemas/config.schema.yaml"
PLAIN = {"build": "build", "logs": "logs", "records": "build"} | {name: f"build/{name}" for name in variants.STAGES}


def expand(changes: dict[str, Any], **base: Any) -> dict[str, dict[str, Any]]:
    config: dict[str, Any] = {**base, "variants": changes}
    configuration.complete(config, SCHEMA)
    return dict(variants.expand(config, SCHEMA, PLAIN))


def test_a_variant_is_the_config_with_a_few_keys_changed() -> None:
    found = expand({"wide": {"model": {"alpha": 0.5}, "targets": ["kv260"]}}, model={"input_size": 96})["wide"]
    assert found["model"]["alpha"] == 0.5
    assert found["model"]["input_size"] == 96
    assert found["targets"] == ["kv260"]
    assert found["train"]["epochs"] == 3
    assert found["pathvars"]["build"] == "build/wide"
    assert found["pathvars"]["logs"] == "logs/wide"


@pytest.mark.parametrize(
    ("changes", "own"),
    [
        ({}, set()),
        ({"targets": ["kv260"]}, set()),
        ({"package": {"images": 20}}, set()),
        ({"finetune": {"epochs": 2}}, {"quant_ft_model"}),
        ({"quantize": {"calib_images": 100}}, {"quant_model", "quant_ft_model"}),
        ({"train": {"seed": 2}}, set(variants.STAGES)),
        ({"model": {"alpha": 0.5}}, set(variants.STAGES)),
    ],
)
def test_stages_with_equal_settings_are_shared(changes: dict[str, Any], own: set[str]) -> None:
    """A stage is a variant's own exactly from the first one that its changes reach; nothing is own of its twin."""
    found = expand({"one": changes, "twin": changes})
    for name in variants.STAGES:
        folder = f"build/one/{name}" if name in own else f"build/{name}"
        assert found["one"]["pathvars"][name] == folder
        assert found["twin"]["pathvars"][name] == folder
        assert found["one"]["pathvars"]["records"] == "build"


def test_variants_do_not_change_each_other() -> None:
    found = expand({"a": {"train": {"augment": {"flip": True}}}, "b": {}})
    assert found["a"]["train"]["augment"]["flip"] is True
    assert found["b"]["train"]["augment"]["flip"] is False


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"wide": {"model": {"alhpa": 0.5}}}, "variants.wide: unknown key model.alhpa: did you mean alpha?"),
        ({"wide": {"modle": {}}}, "variants.wide: unknown key modle: did you mean model?"),
        ({"wide": {"model": {"alpha": 0.3}}}, "variants.wide: model.alpha: expected one of 0.25, 0.5, 0.75, 1.0"),
        ({"wide": {"targets": ["zcu201"]}}, "variants.wide: unknown target 'zcu201': did you mean"),
        ({"wide": {"model": None}}, "variants.wide: model: expected type object, got None"),
        ({"wide": {"dataset": {"fit": "crop"}}}, "variants.wide: dataset is shared by all variants"),
        ({"wide": {"task": "detection"}}, "variants.wide: task is shared by all variants"),
        ({"wide": {"variants": {}}}, "variants.wide: variants is shared by all variants"),
        ({"wide": 0.5}, "variants.wide: expected type object, got 0.5"),
        ({"../wide": {}}, "expected a name of letters, digits and _ such as narrow_96, got '../wide'"),
        ({"": {}}, "expected a name of letters, digits and _"),
        ({5: {}}, "expected a name of letters, digits and _"),
    ],
)
def test_a_wrong_variant_is_told_in_one_line(changes: dict[Any, Any], told: str) -> None:
    with pytest.raises(SoftdpuError) as caught:
        expand(changes)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["float_model", "tfrec_val", "target_zcu102", "sweep"])
def test_a_variant_cannot_have_the_name_of_a_folder_of_the_build(name: str) -> None:
    outputs = ["build/float_model/a.h5", "build/tfrec_{split}/{x}", "build/target_{target}/images/b", "build/sweep/t"]
    config: dict[str, Any] = {"variants": {name: {}, "wide": {}}}
    configuration.complete(config, SCHEMA)
    with pytest.raises(SoftdpuError, match=rf"variants\.{name}: the build itself writes to build/"):
        variants.check_names(variants.expand(config, SCHEMA, PLAIN), outputs)


def test_a_key_that_stands_twice_is_told_with_its_lines(tmp_path: Path) -> None:
    good, doubled = tmp_path / "good.yaml", tmp_path / "doubled.yaml"
    good.write_text("variants:\n  a: {model: {alpha: 0.5}}\n  b: {model: {alpha: 0.5}}\n")
    doubled.write_text("variants:\n  a: {}\n  b: {}\n  a: {model: {alpha: 0.5}}\n")
    configuration.refuse_doubled_keys([good, ROOT / "config.yaml", *(ROOT / "config").glob("*.yaml")])
    with pytest.raises(SoftdpuError) as caught:
        configuration.refuse_doubled_keys([good, doubled])
    assert str(caught.value) == f"{doubled}: 'a' stands twice, in lines 2 and 4; rename one"


def test_the_shipped_sweep_has_four_variants_and_shares() -> None:
    given = yaml.safe_load((ROOT / "config/sweep.yaml").read_text())
    found = expand(given.pop("variants"), **given)
    assert len(found) == 4
    assert len({config["pathvars"]["float_model"] for config in found.values()}) == 3
    assert {config["pathvars"]["records"] for config in found.values()} == {"build"}
