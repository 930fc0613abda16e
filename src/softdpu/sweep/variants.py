"""The variants of a sweep: each is the configuration with a few keys changed, and shares every stage that it can.

Two variants whose settings are equal up to a stage have that stage's output in one folder: that of the first of them,
or that of the plain build, whose settings are all variants' starting point. So records are made once, and variants
that differ in their targets alone train once.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from softdpu.build import config as configuration
from softdpu.errors import SoftdpuError

_TARGETS = ("compile", "export", "package", "run", "targets", "cluster")
# By stage, which is also its pathvar and its folder: the sections of the config that it does not depend on.
STAGES = {
    "float_model": ("quantize", "finetune", *_TARGETS),
    "quant_model": ("finetune", *_TARGETS),
    "quant_ft_model": _TARGETS,
}
# The pathvars that a variant has of its own, or shares.
FOLDERS = ("build", "logs", "records", *STAGES)
_NO_SETTINGS = ("variants", "pathvars")
_SHARED = ("dataset", "task", "segmentation", *_NO_SETTINGS)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class Variant(NamedTuple):
    """One variant: its name, and its whole configuration with the folders of its build under the key pathvars."""

    name: str
    config: dict[str, Any]


def expand(config: Mapping[str, Any], schema: Path, folders: Mapping[str, str]) -> list[Variant]:
    """Return the variants that `config` names, each with its whole configuration.

    Args:
        config: complete, with `variants`: the changed keys by name.
        schema: path of the configuration's schema.
        folders: the plain build's folder for each of FOLDERS.

    Raises:
        SoftdpuError: a name that cannot be a folder's, an unknown key, or a key that all variants share.
    """
    plain = {key: value for key, value in config.items() if key not in _NO_SETTINGS}
    seen = {stage: {_show_settings(plain, stage): folders[stage]} for stage in STAGES}
    variants = []
    for name, changes in config["variants"].items():
        whole = _merge(name, plain, changes, schema)
        build = f"{folders['build']}/{name}"
        paths = {"build": build, "logs": f"{folders['logs']}/{name}", "records": folders["records"]}
        for stage in STAGES:
            paths[stage] = seen[stage].setdefault(_show_settings(whole, stage), f"{build}/{stage}")
        variants.append(Variant(name, {**whole, "pathvars": paths}))
    return variants


def check_names(variants: Iterable[Variant], outputs: Iterable[str]) -> None:
    """Refuse a variant whose folder is already a folder of the plain build.

    Args:
        variants: what `expand` returned.
        outputs: what the plain build writes, with wildcards.

    Raises:
        SoftdpuError: naming the variant and the folder.
    """
    taken = sorted({str(folder) for output in outputs for folder in Path(output).parents})
    for name, config in variants:
        for folder in taken:
            if re.fullmatch(re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(folder)), config["pathvars"]["build"]):
                raise SoftdpuError(f"variants.{name}: the build itself writes to {folder}; choose another name")


def list_results(build: str, compared: str) -> list[str]:
    """Return the files that the comparison reads for `compared`, variant/target, below the plain build's folder."""
    variant, target = compared.split("/")
    folder = f"{build}/{variant}"
    files_of_target = ("ladder_{}.json", "run_{}.json", "compiled_model_{}/mobilenet.xmodel")
    return [f"{folder}/{name.format(target)}" for name in files_of_target]


def _merge(name: str, plain: Mapping[str, Any], changes: Any, schema: Path) -> dict[str, Any]:
    if not _NAME.fullmatch(str(name)):
        raise SoftdpuError(f"variants: expected a name of letters, digits and _ such as narrow_96, got {name!r}")
    for key in _SHARED:
        if key in changes:
            raise SoftdpuError(f"variants.{name}: {key} is shared by all variants; set it outside of variants")
    whole = _change(copy.deepcopy(dict(plain)), changes)
    try:
        configuration.complete(whole, schema)
    except SoftdpuError as error:
        raise SoftdpuError(f"variants.{name}: {str(error).removeprefix('config: ')}") from None
    del whole["variants"]
    return whole


def _change(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` with what `changes` names replaced, section by section."""
    for key, value in changes.items():
        below = values.get(key)
        values[key] = _change(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return values


def _show_settings(config: Mapping[str, Any], stage: str) -> str:
    """Return the settings that a stage depends on as one text."""
    return json.dumps({key: value for key, value in config.items() if key not in STAGES[stage]}, sort_keys=True)
