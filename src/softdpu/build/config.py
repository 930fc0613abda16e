"""The build's configuration: checked against the schema, filled with its defaults, wrong keys told in one line."""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from softdpu import tasks
from softdpu.build import boxes, images, vitis_ai
from softdpu.build.images import count_classes
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output.text import one_line
from softdpu.own_model import height_and_width

_MOST_BYTES, _MOST_NODES, _MOST_DEPTH = 1 << 20, 100_000, 50
# Keys whose values become files of a rule.
_PATHS = {"path", "train_tar", "val_tar", "ground_truth", "file", "weights", "sdcard", "pathvars"}
_MOST_SHOWN = 200  # characters of a wrong value in a message


def refuse_doubled_keys(files: Iterable[str | Path]) -> None:
    """Refuse YAML files in which a key stands twice, of which all but the last would be ignored without a word.

    Raises:
        SoftdpuError: naming the file, the line and the key; or as _nodes.
    """
    for file in files:
        for node in _nodes(file):
            if isinstance(node, yaml.MappingNode):
                _refuse_doubled(file, [key for key, _ in node.value])


def _nodes(file: str | Path) -> Iterator[Any]:
    """Yield the nodes of a YAML file, aliases as often as they are used.

    Raises:
        SoftdpuError: if it is no YAML in UTF-8, too long, nested too deeply, or its aliases make too much of it.
    """
    try:
        with open(file, "rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise SoftdpuError(f"{file}: a configuration of more than {_MOST_BYTES} bytes; is it another file?")
        root = yaml.compose(data.decode("utf-8"), Loader=yaml.SafeLoader)
        yield from _walk(root, file)
        yaml.safe_load(data.decode("utf-8"))  # values of a type that is not in the file, such as a date of month 13
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SoftdpuError(f"{file}: line {line} is not UTF-8; save the file in that encoding") from None
    except RecursionError:
        raise SoftdpuError(f"{file}: it is nested more than {_MOST_DEPTH} deep, which no configuration is") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())[:300]
        raise SoftdpuError(f"{file}: it cannot be read as YAML ({what})") from None


def _walk(root: Any, file: str | Path) -> Iterator[Any]:
    waiting, count = [(root, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > _MOST_DEPTH:
            raise SoftdpuError(f"{file}: it is nested more than {_MOST_DEPTH} deep, or an alias stands in itself")
        if count > _MOST_NODES:
            raise SoftdpuError(f"{file}: it has more than {_MOST_NODES} values, aliases counted; write it without them")
        if isinstance(node, yaml.MappingNode):
            waiting.extend((part, depth + 1) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend((value, depth + 1) for value in node.value)
        yield node


def _refuse_doubled(file: str | Path, keys: list[Any]) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise SoftdpuError(f"{file}: the key in line {line} is a list or has keys itself; expected a text")
        if key.value in lines:
            raise SoftdpuError(
                f"{file}: '{key.value[:_MOST_SHOWN]}' stands twice, in lines {lines[key.value]} and {line}; rename one"
            )
        lines[key.value] = line


def complete(config: dict[str, Any], schema_path: Path) -> None:
    """Fill the defaults into `config`, in place, and check everything that can be known before a build.

    Raises:
        SoftdpuError: on the first wrong value, also an unknown board or a version that AMD has no container for.
    """
    check(config, schema_path)
    images.check_task(config)
    boxes.check(config)
    images.describe_inputs(config)
    if config["model"]["file"]:
        from softdpu.own_model.plan import check_file  # slow to import, and few builds need it

        model = config["model"]
        size = height_and_width(model["input_size"])
        of_images = config["dataset"]["kind"] != tasks.ARRAYS
        check_file(Path(model["file"]), config["task"], count_classes(config), model["outputs"], size, of_images)
    for name in config["targets"]:
        boards.find_target(name, config["compile"]["vitis_ai"])
        if vitis_ai.VITIS_AI in vitis_ai.find_toolchains(config["toolchain"]).values():
            vitis_ai.find_version(config, name)


def check(config: dict[str, Any], schema_path: Path) -> None:
    """Fill the defaults of the schema into `config`, in place, and check it.

    Raises:
        SoftdpuError: on the first wrong value, naming the key as section.key, what was expected and what came.
    """
    _check_values(config)
    validator = _filling_validator(_schema(schema_path))
    errors = sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        raise SoftdpuError("config: " + one_line(_tell(errors[0])))
    _check_values(config)  # again, with texts that were read as YAML


def _check_values(config: Any) -> None:
    """Refuse numbers that are none, values nested too deeply, and control characters and wildcards in texts."""
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), config)]
    count = 0
    while waiting:
        where, value = waiting.pop()
        name = one_line(".".join(map(str, where))[:_MOST_SHOWN])
        count += 1
        if count > _MOST_NODES:
            raise SoftdpuError(f"config: more than {_MOST_NODES} values, aliases counted; write it without them")
        if len(where) > _MOST_DEPTH:
            raise SoftdpuError(f"config: {name} is nested more than {_MOST_DEPTH} deep")
        if isinstance(value, float) and not math.isfinite(value):
            raise SoftdpuError(f"config: {name}: expected a number, got {value}")
        if isinstance(value, str) and any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in value):
            raise SoftdpuError(f"config: {name}: {_shown(value)} has a line break or another control character")
        if isinstance(value, str) and set(value) & set("{}") and _PATHS & set(where):
            raise SoftdpuError(f"config: {name}: {_shown(value)} has braces, which Snakemake takes for a wildcard")
        if isinstance(value, dict):
            waiting.extend(((*where, key), item) for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            waiting.extend(((*where, index), item) for index, item in enumerate(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"


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
        with contextlib.suppress(yaml.YAMLError, RecursionError, ValueError):
            read = yaml.safe_load(value)
            section[key] = value if read is None else read


def _tell(error: jsonschema.ValidationError) -> str:
    """Say in one line which key is wrong, what it may be and what it is."""
    where = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        wrong = next(key for key in error.instance if key not in known)
        near = difflib.get_close_matches(str(wrong), known, n=1)
        shown = _shown(wrong) if len(str(wrong)) > _MOST_SHOWN else str(wrong)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"unknown key {where}{'.' if where else ''}{shown}: {hint}"
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
    meaning = error.schema.get("description", "see the schema")
    return f"{where}: expected {wanted}, got {_shown(error.instance)} ({meaning})"
