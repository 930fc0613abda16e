"""Whether the calls of a model's layers can be made one after another: none reads itself, or what is not there."""

from __future__ import annotations

from typing import Any, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.errors import SoftdpuError
from softdpu.keras2.kinds import MODELS
from softdpu.output.files import PathLike

_CONSTANT = "_CONSTANT_VALUE"  # stands where a layer's name stands


def check_graph(config: dict[str, Any], where: PathLike) -> None:
    """Check the graph of one functional model, whose layers have passed structure.check.

    Args:
        config: "layers", "input_layers" and "output_layers", in the form of Keras 2 or 3.
        where: name of the file.

    Raises:
        SoftdpuError: naming layers that read one another in a circle, or a call that is not there.
    """
    layers = {_name(entry): entry for entry in config["layers"]}
    calls = {name: _calls(entry, where) for name, entry in layers.items()}
    first = {name: _find_first(entry, calls[name]) for name, entry in layers.items()}
    last = {name: first[name] + len(calls[name]) - 1 for name in layers}
    reads: dict[Any, list[Any]] = {}
    for name, found in calls.items():
        for number, refs in enumerate(found):
            # Keras makes the calls of a layer in their order.
            before = [(name, first[name] + number - 1)] if number else []
            reads[name, first[name] + number] = before + [_check_ref(ref, first, last, name, where) for ref in refs]
    for key in ("input_layers", "output_layers"):
        ends = list(_refs(config.get(key)))
        if not ends:
            raise SoftdpuError(f"{where} is damaged: {key} names no layer; save the model again")
        for ref in ends:
            _check_ref(ref, first, last, key, where)
    _refuse_circles(reads, where)


def _refuse_circles(reads: dict[Any, list[Any]], where: PathLike) -> None:
    """Take away, again and again, the calls whose inputs are there; what remains reads itself."""
    left = {key: len({source for source in sources if source in reads}) for key, sources in reads.items()}
    readers: dict[Any, list[Any]] = {}
    for key, sources in reads.items():
        for source in set(sources):
            readers.setdefault(source, []).append(key)
    ready = [key for key, count in left.items() if count == 0]
    while ready:
        done = ready.pop()
        del left[done]
        for key in readers.get(done, ()):
            left[key] -= 1
            if left[key] == 0:
                ready.append(key)
    if left:
        names = sorted({name for name, _ in left})
        text = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise SoftdpuError(
            f"{where}: the layers {text} read one another in a circle, or what comes of it; build the model without one"
        )


def _name(entry: dict[str, Any]) -> str:
    return str(entry.get("name") or entry["config"]["name"])


def _calls(entry: dict[str, Any], where: PathLike) -> list[list[Any]]:
    """Return what each call of a layer reads, as [layer, call, tensor, ...]."""
    nodes = entry.get("inbound_nodes") or []
    if not isinstance(nodes, list):
        raise SoftdpuError(f"{where} is damaged: layer {_name(entry)!r} has inbound_nodes that are no list")
    if not nodes and entry["class_name"] == "InputLayer":
        return [[]]
    return [list(_refs(node)) for node in nodes]  # none for a layer that is never called: nothing can read it


def _find_first(entry: dict[str, Any], calls: list[Any]) -> int:
    """Return the number of a layer's first call: 1 for a model of Keras 2, whose making is its call 0."""
    nodes, config = entry.get("inbound_nodes") or [], entry["config"]
    if entry["class_name"] not in MODELS or "layers" not in config or any(isinstance(node, dict) for node in nodes):
        return 0
    head = config["layers"][0]
    is_open = head["class_name"] != "InputLayer" and not head["config"].get("batch_input_shape")
    return 0 if entry["class_name"] == "Sequential" and is_open and not config.get("build_input_shape") else 1


def _refs(value: Any) -> Iterator[Any]:
    """Yield the tensors that a call names, as [layer, call, tensor, ...].

    Keras 2 takes every list of 3 or 4 that begins with a text for one; Keras 3 writes objects.
    """
    waiting, is_new = [value], isinstance(value, dict) and "args" in value
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "__keras_tensor__" and isinstance(item.get("config"), dict):
                yield item["config"].get("keras_history")
            else:
                waiting.extend(item.values())
        elif isinstance(item, list):
            if not is_new and len(item) in (3, 4) and isinstance(item[0], str):
                if item[0] != _CONSTANT:
                    yield item
                waiting.extend(item[3:])
            else:
                waiting.extend(item)


def _check_ref(ref: Any, first: dict[str, int], last: dict[str, int], reader: str, where: PathLike) -> Any:
    """Return (layer, call number) of a tensor that is there."""
    if not isinstance(ref, list) or len(ref) < 3 or not (isinstance(ref[1], int) and isinstance(ref[2], int)):
        raise SoftdpuError(f"{where} is damaged: {reader!r} reads {str(ref)[:200]}, which names no tensor")
    name, number = ref[0], int(ref[1])
    if not isinstance(name, str) or name not in first or not first[name] <= number <= last[name] or ref[2] < 0:
        raise SoftdpuError(
            f"{where} is damaged: {reader!r} reads call {number} of {str(name)[:200]!r}, which is not there; save the"
            " model again"
        )
    return name, number
