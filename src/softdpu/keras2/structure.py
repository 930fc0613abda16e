"""The structure of a model's configuration, checked before anything is built from it: types, sizes, the graph.

Keras never ends over a graph that reads itself, and takes sizes such as 10.5 without a word.
"""

from __future__ import annotations

import json
import math
from typing import Any, Callable, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.errors import SoftdpuError
from softdpu.keras2.graph_check import check_graph
from softdpu.keras2.kinds import MODELS, strip_package
from softdpu.output.files import PathLike

MOST_BYTES = 32 << 20  # of a configuration's text; ResNet152, quantized, has 3 MiB
_MOST_DEPTH, _MOST_SIZE, _MOST_USES = 100, 65536, 100_000


def parse(text: Any, where: PathLike) -> Any:
    """Return the value of a JSON text.

    Raises:
        SoftdpuError: if it is no JSON, too long, nested too deeply, or has a number that is NaN.
    """
    if len(text) > MOST_BYTES:
        raise SoftdpuError(f"{where}: a configuration of {len(text)} bytes, of {MOST_BYTES} at most")
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        what = " ".join(str(error).split())[:200]
        raise SoftdpuError(f"{where}: the model's configuration is damaged ({what}); save the model again") from None


def _constant(name: str) -> float:
    if name == "NaN":
        raise ValueError("it has the number NaN")
    return float(name.replace("Infinity", "inf"))


def check(model: Any, where: PathLike) -> None:
    """Check a model's configuration {"class_name", "config"} and those of the models inside it.

    Raises:
        SoftdpuError: naming the layer and what is wrong with it.
    """
    if not isinstance(model, dict) or not isinstance(model.get("config"), dict):
        raise SoftdpuError(f"{where} is damaged: it has no configuration of a model; save the model again")
    _check_depth(model, where)
    for value in walk(model):
        if isinstance(value, dict) and "class_name" in value:
            _check_entry(value, where)
    uses = 0
    if model.get("class_name") in MODELS and "layers" in model["config"]:
        uses = _check_model(model, where)
    if uses > _MOST_USES:
        raise SoftdpuError(f"{where}: models inside models make {uses} layers, of {_MOST_USES} at most")


def _check_depth(value: Any, where: PathLike) -> None:
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > _MOST_DEPTH:
            raise SoftdpuError(f"{where} is damaged: its configuration is nested more than {_MOST_DEPTH} deep")
        if isinstance(item, (dict, list)):
            inner = item.values() if isinstance(item, dict) else item
            waiting.extend((child, depth + 1) for child in inner)
        elif isinstance(item, float) and math.isnan(item):
            raise SoftdpuError(f"{where} is damaged: its configuration has the number NaN")


def walk(value: Any) -> Iterator[Any]:
    """Yield a value and every value in it, depth first."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        yield item
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _check_model(model: dict[str, Any], where: PathLike) -> int:
    """Check the layers of one model and return how many layers its uses of other models make."""
    config = model["config"]
    layers = config["layers"] if isinstance(config, dict) else None
    if not isinstance(layers, list) or not layers:
        raise SoftdpuError(f"{where} is damaged: model {_name(model)!r} lists no layers; save the model again")
    uses = 0
    names: set[str] = set()
    for entry in layers:
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("config"), dict)
            or not isinstance(entry.get("class_name"), str)
        ):
            raise SoftdpuError(
                f"{where} is damaged: model {_name(model)!r} has a layer without class_name or config: {_quote(entry)}"
            )
        name = _name(entry)
        if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 1000:
            raise SoftdpuError(f"{where} is damaged: a {_quote(entry['class_name'])} has the name {_quote(name)}")
        if entry["config"].get("name", name) != name:
            raise SoftdpuError(
                f"{where} is damaged: layer {name!r} is {_quote(entry['config']['name'])} in its own configuration"
            )
        if name in names:
            raise SoftdpuError(f"{where} is damaged: two layers have the name {name!r}; save the model again")
        names.add(name)
        calls = entry.get("inbound_nodes") or [None]
        is_model = entry["class_name"] in MODELS and "layers" in entry["config"]
        uses += (_check_model(entry, where) if is_model else 1) * (len(calls) if isinstance(calls, list) else 1)
    if model["class_name"] != "Sequential":
        check_graph(config, where)
    return min(uses, _MOST_USES + 1)


def _name(entry: dict[str, Any]) -> Any:
    config = entry.get("config")
    return entry.get("name") or (config.get("name") if isinstance(config, dict) else None)


def _quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_int(value) and 0 < value <= _MOST_SIZE


def _is_counts(value: Any) -> bool:
    return _is_count(value) or (isinstance(value, list) and 0 < len(value) <= 8 and all(map(_is_count, value)))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(item is None or _is_count(item) for item in value)


def _is_scale(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return bool(items) and all(_is_number(item) and item != 0 for item in items)


def _is_margin(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return all(_is_margin(item) if isinstance(item, list) else _is_int(item) and 0 <= item < 4096 for item in items)


# What a key of a layer's configuration may hold: a test, and the words for it.
_Test = Callable[[Any], bool]
_COUNT = (_is_count, f"a whole number from 1 to {_MOST_SIZE}")
_COUNTS = (_is_counts, f"whole numbers from 1 to {_MOST_SIZE}")
_KEYS: dict[str, tuple[_Test, str]] = {
    "units": (lambda value: _is_int(value) and 0 < value <= 1 << 24, "a whole number above 0"),
    "filters": _COUNT,
    "depth_multiplier": _COUNT,
    "kernel_size": _COUNTS,
    "strides": (lambda value: value is None or _is_counts(value), f"whole numbers from 1 to {_MOST_SIZE}"),
    "pool_size": _COUNTS,
    "dilation_rate": _COUNTS,
    "batch_input_shape": (_is_shape, f"a list of sizes from 1 to {_MOST_SIZE}, or null"),
    "batch_shape": (_is_shape, f"a list of sizes from 1 to {_MOST_SIZE}, or null"),
    "epsilon": (lambda value: _is_number(value) and value >= 0, "a number of 0 or more"),
}
_OF_CLASS: dict[tuple[str, str], tuple[_Test, str]] = {
    ("Rescaling", "scale"): (_is_scale, "a number other than 0"),
    ("UpSampling2D", "size"): _COUNTS,
    ("ZeroPadding2D", "padding"): (_is_margin, "whole numbers from 0 on"),
    ("Cropping2D", "cropping"): (_is_margin, "whole numbers from 0 on"),
    ("Conv2D", "groups"): _COUNT,
    ("Dropout", "rate"): (lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to below 1"),
}


def _check_entry(entry: dict[str, Any], where: PathLike) -> None:
    """Check an object {"class_name", "config"} anywhere in a configuration, by what its keys may hold."""
    kind, config = entry["class_name"], entry.get("config")
    if isinstance(kind, str) and (len(kind) > 200 or not kind.isprintable()):
        raise SoftdpuError(f"{where} is damaged: class_name is {_quote(kind)}; save the model again")
    if not isinstance(kind, str):
        raise SoftdpuError(f"{where} is damaged: class_name is {_quote(kind)}, not a text; save the model again")
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        test = _OF_CLASS.get((strip_package(kind), key)) or _KEYS.get(key)
        if test and value is not None and not test[0](value):
            raise SoftdpuError(
                f"{where}: layer {config.get('name')!r} ({kind[:80]}) has {key} {_quote(value)}, expected {test[1]};"
                " correct the layer and save the model again"
            )
