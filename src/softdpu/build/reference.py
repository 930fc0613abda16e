"""docs/config.md: every key of the configuration with meaning, values and default, generated from the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_INTRODUCTION = """\
# The configuration

This page is made from [schemas/config.schema.yaml](../schemas/config.schema.yaml) by
`python scripts/config_reference.py --output docs/config.md`.

config.yaml holds what one usually changes; a key that it leaves out has its default. An unknown key, a value of the
wrong type or out of range is an error that names the key, before anything runs. On the command line targets come first:
`snakemake target_zcu102 --config train='{epochs: 5}'`; a file given with `--configfile` is laid over config.yaml.
"""


def make_reference(schema_path: Path) -> str:
    """Return the page for a schema."""
    schema = yaml.safe_load(schema_path.read_text(encoding="utf-8"))
    sections: list[str] = []
    rows = list(_make_rows(schema["properties"], "", sections, schema))
    return "\n".join([_INTRODUCTION, _make_table(rows), *sections])


def _make_rows(keys: dict[str, Any], prefix: str, sections: list[str], root: dict[str, Any]) -> Iterator[list[str]]:
    for key, schema in keys.items():
        schema = _resolve(schema, root)
        inner = schema.get("properties")
        meaning = " ".join(str(schema.get("description", "")).split())
        if inner and not prefix:
            place = len(sections)
            sections.append("")
            rows = list(_make_rows(inner, f"{key}.", sections, root))
            sections[place] = f"## {key}\n\n{meaning[:1].upper()}{meaning[1:]}.\n\n{_make_table(rows)}"
        elif inner:
            yield from _make_rows(inner, f"{prefix}{key}.", sections, root)
        else:
            default = "" if "default" not in schema else f"`{json.dumps(schema['default'])}`"
            yield [f"`{prefix}{key}`", meaning, _describe_values(schema), default]


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference to a definition in the same file."""
    if "$ref" not in schema:
        return schema
    found: Any = root
    for part in schema["$ref"].lstrip("#/").split("/"):
        found = found[part]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _describe_values(schema: dict[str, Any]) -> str:
    """Return what a key may be, in words."""
    if "enum" in schema:
        return ", ".join(json.dumps(value).strip('"') for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    for alternatives in ("anyOf", "oneOf"):
        if alternatives in schema:
            return " or ".join(dict.fromkeys(_describe_values(one) for one in schema[alternatives]))
    kinds = schema.get("type", "any")
    names: dict[str, str] = {"string": "text", "integer": "whole number", "array": "list", "object": "keys and values"}
    kind = " or ".join(names.get(str(one), str(one)) for one in (kinds if isinstance(kinds, list) else [kinds]))
    limits = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    return " ".join([kind, *(f"{word} {schema[key]}" for key, word in limits.items() if key in schema)])


def _make_table(rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = ["| key | meaning | values | default |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
