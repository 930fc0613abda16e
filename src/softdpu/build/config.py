"""The build's configuration: checked against the schema, filled with its defaults, wrong keys told in one line."""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from softdpu.build import vitis_ai
from softdpu.build.images import count_classes
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.own_model import scaling_text


def refuse_doubled_keys(files: Iterable[str | Path]) -> None:
    """Refuse YAML files in which a key stands twice, of which all but the last would be ignored without a word.

    Raises:
        SoftdpuError: naming the file, the line and the key.
    """
    for file in files:
        text = Path(file).read_text(encoding="utf-8")
        nodes = [yaml.compose(text, Loader=yaml.SafeLoader)]
        while nodes:
            node = nodes.pop()
            if isinstance(node, yaml.MappingNode):
                _refuse_doubled(file, [key for key, _ in node.value])
                nodes.extend(value for _, value in node.value)
            elif isinstance(node, yaml.SequenceNode):
                nodes.extend(node.value)


def _refuse_doubled(file: str | Path, keys: list[Any]) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise SoftdpuError(
                f"{file}: '{key.value}' stands twice, in lines {lines[key.value]} and {line}; rename one"
            )
        lines[key.value] = line


def complete(config: dict[str, Any], schema_path: Path) -> None:
    """Fill the defaults into `config`, in place, and check everything that can be known before a build.

    Raises:
        SoftdpuError: on the first wrong value, also an unknown board or a version that AMD has no container for.
    """
    check(config, schema_path)
    scaling_text(config["model"])
    if config["model"]["file"]:
        from softdpu.own_model.plan import check_file  # slow to import, and few builds need it

        check_file(Path(config["model"]["file"]), count_classes(config["dataset"]))
    for name in config["targets"]:
        boards.target(name, config["compile"]["vitis_ai"])
        if vitis_ai.VITIS_AI in vitis_ai.stages(config["toolchain"]).values():
            vitis_ai.version(config, name)


def check(config: dict[str, Any], schema_path: Path) -> None:
    """Fill the defaults of the schema into `config`, in place, and check it.

    Raises:
        SoftdpuError: on the first wrong value, naming the key as section.key, what was expected and what came.
    """
    validator = _filling_validator(_schema(schema_path))
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        raise SoftdpuError("config: " + _tell(errors[0]))


@functools.cache
def _schema(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def _filling_validator(schema: dict[str, Any]) -> Any:
    base = jsonschema.Draft202012Validator

    def properties(validator: Any, known: dict[str, Any], instance: Any, schema: dict[str, Any]) -> Iterator[Any]:
        if isinstance(instance, dict):
            for key, sub in known.items():
                if "default" in sub and key not in instance:
                    instance[key] = copy.deepcopy(sub["default"])
                _read_text(instance, key, base(sub))
        yield from base.VALIDATORS["properties"](validator, known, instance, schema)

    return jsonschema.validators.extend(base, {"properties": properties})(schema)


def _read_text(section: dict[str, Any], key: str, wanted: Any) -> None:
    """Read a text as the YAML that it is, in place: values given with --config come as text."""
    value = section.get(key)
    if isinstance(value, str) and not wanted.is_valid(value):
        with contextlib.suppress(yaml.YAMLError):
            read = yaml.safe_load(value)
            section[key] = value if read is None else read


def _tell(error: jsonschema.ValidationError) -> str:
    """Say in one line which key is wrong, what it may be and what it is."""
    where = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        wrong = next(key for key in error.instance if key not in known)
        near = difflib.get_close_matches(str(wrong), known, n=1)
        name = f"{where}.{wrong}" if where else str(wrong)
        return f"unknown key {name}: " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}")
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"missing key {where + '.' if where else ''}{missing}"
    if error.validator == "anyOf" and error.context:
        return _tell(max(error.context, key=lambda inner: len(inner.absolute_path)))
    if error.validator in ("enum", "const"):
        wanted = f"one of {', '.join(map(str, error.schema.get('enum', [error.validator_value])))}"
    elif error.validator == "type":
        kinds = error.validator_value
        wanted = " or ".join(kinds) if isinstance(kinds, list) else f"type {kinds}"
    elif error.validator == "minLength":
        wanted = "a text that is not empty" + (", or null" if "null" in error.schema["type"] else "")
    else:
        wanted = f"{error.validator} {error.validator_value}"
    return f"{where}: expected {wanted}, got {error.instance!r} ({error.schema.get('description', 'see the schema')})"
