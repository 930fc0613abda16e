"""Attributes: typed values under names, on graphs, ops, tensors and subgraphs, and their protobuf form.

A file keeps the exact type of every attribute and readers check it, so each value is stored with its *kind*, the name
of its protobuf field without "_value": "bool", "int32", "uint64", "int32_vec", "map_string_2_bytes" and so on.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from xir.errors import XirError


class Attr(NamedTuple):
    """A value with its kind. Pass one to `set_attr` to choose a kind that Python's types do not tell.

    >>> import xir
    >>> subgraph = xir.Graph("net").get_root_subgraph()
    >>> import xir
    >>> subgraph = xir.Graph("net").get_root_subgraph()
    >>> subgraph = subgraph.set_attr("dpu_fingerprint", xir.Attr("uint64", 0x101000056010407))
    >>> hex(subgraph.get_attr("dpu_fingerprint")), subgraph.get_attr_kind("dpu_fingerprint")
    ('0x101000056010407', 'uint64')
    >>> hex(subgraph.get_attr("dpu_fingerprint")), subgraph.get_attr_kind("dpu_fingerprint")
    ('0x101000056010407', 'uint64')
    """

    kind: str
    value: Any


_INTEGERS = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_SCALARS = ("bool", *_INTEGERS, "float", "double", "string", "bytes")
KINDS = frozenset(
    _SCALARS
    + tuple(f"{kind}_vec" for kind in _SCALARS)
    + tuple(f"map_string_2_{kind}" for kind in (*_INTEGERS, "string", "bytes"))
    + tuple(f"map_string_2_{kind}_vec" for kind in (*_INTEGERS, "string"))
)

# Attributes whose kind AMD's compiler fixes and AMD's runtime relies on. Plain Python values get this kind,
# so that ints do not become int32 where a uint64 is expected.
KNOWN_KINDS = {
    "dpu_fingerprint": "uint64",
    "workload": "uint64",
    "workload_on_arch": "uint64",
    "mc_code": "bytes",
    "mc_code_preload": "bytes",
    "reg_id_to_context_type": "map_string_2_string",
    "reg_id_to_context_type_v2": "map_string_2_string",
    "reg_id_to_hw_segment": "map_string_2_string",
    "reg_id_to_size": "map_string_2_int32",
    "reg_id_to_parameter_value": "map_string_2_bytes",
    "runner": "map_string_2_string",
    "files_md5sum": "map_string_2_string",
    "libs_info": "map_string_2_string",
    "children_topological_sort": "string_vec",
    "return_ops": "string_vec",
}


def typed(name: str, value: Any, declared: str | None = None) -> Attr:
    """Return `value` as an Attr of the kind declared by an op's definition, else known by its name, else inferred.

    Inference follows AMD's Python module: bool, int (int32), float (double), str, bytes or array (bytes), lists of
    them (vectors) and dicts from str to int (int32) or str.

    Raises:
        XirError: when the value does not fit; the caller adds the owner's name.
    """
    if isinstance(value, Attr):
        if value.kind not in KINDS:
            raise XirError(f"attribute '{name}' has the unknown kind '{value.kind}'")
        return Attr(value.kind, _checked(name, value.kind, value.value))
    kind = declared or KNOWN_KINDS.get(name) or _inferred(name, value)
    return Attr(kind, _checked(name, kind, value))


def _plain(value: Any) -> Any:
    """Return numpy scalars as Python's own."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _inferred(name: str, value: Any) -> str:
    value = _plain(value)
    for python_type, kind in ((bool, "bool"), (int, "int32"), (float, "double"), (str, "string")):
        if isinstance(value, python_type):
            return kind
    if isinstance(value, (bytes, bytearray, memoryview)) or hasattr(value, "__array_interface__"):
        return "bytes"
    if isinstance(value, (list, tuple)) and value:
        return _inferred_items(name, value, "{}_vec", (int, "int32"), (float, "double"), (str, "string"))
    if isinstance(value, dict) and value:
        return _inferred_items(
            name, value.values(), "map_string_2_{}", (int, "int32"), (str, "string"), (bytes, "bytes")
        )
    if isinstance(value, (list, tuple, dict)):
        raise XirError(f"attribute '{name}' is empty, which tells no type: use xir.Attr(kind, value)")
    raise XirError(f"attribute '{name}' has the unsupported type {type(value).__name__}: use xir.Attr(kind, value)")


def _inferred_items(name: str, items: Iterable[Any], form: str, *choices: tuple[type, str]) -> str:
    plain = [_plain(item) for item in items]
    for python_type, kind in choices:
        if all(isinstance(item, python_type) for item in plain):
            return form.format(kind)
    types = ", ".join(sorted({type(item).__name__ for item in plain}))
    raise XirError(f"attribute '{name}' holds items of unsupported or mixed types ({types}): use xir.Attr(kind, value)")


def _checked(name: str, kind: str, value: Any) -> Any:
    """Return a copy of `value` in the Python form of `kind`, or raise XirError."""
    try:
        if kind.startswith("map_string_2_"):
            inner = kind[len("map_string_2_") :]
            return {_string(key): _checked(name, inner, item) for key, item in sorted(dict(value).items())}
        if kind.endswith("_vec"):
            if isinstance(value, (str, bytes)):
                raise TypeError("not a list")
            return [_scalar(kind[: -len("_vec")], item) for item in value]
        return _scalar(kind, value)
    except OverflowError as error:
        raise XirError(f"attribute '{name}': {error}; for a larger type use xir.Attr(kind, value)") from None
    except (TypeError, ValueError, AttributeError):
        raise XirError(f"attribute '{name}' must be of kind {kind}, got {type(value).__name__}") from None


def _scalar(kind: str, value: Any) -> Any:
    return _SCALAR_CHECKS[kind](_plain(value))


def _integer(kind: str) -> Callable[[Any], int]:
    low, high = _INTEGERS[kind]

    def check(value: Any) -> int:
        number = operator.index(value)
        if not low <= number <= high:
            raise OverflowError(f"{number} does not fit {kind}")
        return int(number)

    return check


def _boolean(value: Any) -> bool:
    if value not in (0, 1):
        raise TypeError("not a bool")
    return bool(value)


def _float(value: Any) -> float:
    """Round to float32, which is what a file holds."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def _double(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError("not a number")
    return float(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a str")
    value.encode("utf-8")  # a lone surrogate cannot be written
    return value


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return bytes(value.tobytes())


_SCALAR_CHECKS: dict[str, Callable[[Any], Any]] = {
    "bool": _boolean,
    **{kind: _integer(kind) for kind in _INTEGERS},
    "float": _float,
    "double": _double,
    "string": _string,
    "bytes": _bytes,
}


def decode(message: Any) -> Attr:
    """Return the Attr of a protobuf AttrValue; the value is None when the file holds none."""
    field = message.WhichOneof("value")
    if field is None:
        return Attr("", None)
    value = getattr(message, field)
    kind = field[: -len("_value")]
    if kind in _SCALAR_CHECKS:
        return Attr(kind, value.value if kind == "bytes" else value)
    items = value.value
    if kind == "bytes_vec":
        return Attr(kind, [item.value for item in items])
    if kind.endswith("_vec") and not kind.startswith("map_"):
        return Attr(kind, list(items))
    if kind.endswith("_vec"):
        return Attr(kind, {key: list(items[key].value) for key in sorted(items)})
    if kind == "map_string_2_bytes":
        return Attr(kind, {key: items[key].value for key in sorted(items)})
    return Attr(kind, {key: items[key] for key in sorted(items)})


def encode(attr: Attr, message: Any) -> None:
    """Write `attr` into a protobuf AttrValue."""
    kind, value = attr
    if not kind:
        return
    field = kind + "_value"
    if kind == "bytes":
        message.bytes_value.value = value
        return
    if kind in _SCALAR_CHECKS:
        setattr(message, field, value)
        return
    wrapper = getattr(message, field)
    wrapper.SetInParent()  # an empty vector or map is a value too
    if kind == "bytes_vec":
        for item in value:
            wrapper.value.add().value = item
    elif kind.endswith("_vec") and not kind.startswith("map_"):
        wrapper.value.extend(value)
    elif kind.endswith("_vec"):
        for key, item in value.items():
            wrapper.value[key].value.extend(item)
    elif kind == "map_string_2_bytes":
        for key, item in value.items():
            wrapper.value[key].value = item
    else:
        wrapper.value.update(value)


def decode_all(messages: Any) -> dict[str, Attr]:
    """Return the attributes of a protobuf map, sorted by name."""
    return {name: decode(messages[name]) for name in sorted(messages)}


def encode_all(attrs: dict[str, Attr], messages: Any) -> None:
    """Write attributes into a protobuf map; as in AMD's writer, names that begin with "__" stay out of files."""
    for name, attr in attrs.items():
        if not name.startswith("__"):
            encode(attr, messages[name])


class AttributeHolder:
    """The attribute methods that Graph, Op, Tensor and Subgraph share."""

    __slots__ = ("_attrs",)

    def __init__(self) -> None:
        self._attrs: dict[str, Attr] = {}

    def has_attr(self, name: str) -> bool:
        """Tell whether there is an attribute `name`."""
        return name in self._attrs or self._default(name) is not None

    def get_attr(self, name: str) -> Any:
        """Return the value of attribute `name`: a bool, int, float, str, bytes, list or dict.

        Raises:
            XirError: when there is none; the text names the owner.
        """
        return _copied(self._find(name).value)

    def get_attr_kind(self, name: str) -> str:
        """Return the kind of attribute `name`, such as "uint64" (an addition to AMD's interface)."""
        return self._find(name).kind

    def get_attrs(self) -> dict[str, Any]:
        """Return all attributes as a new dict."""
        return {name: _copied(attr.value) for name, attr in {**self._defaults(), **self._attrs}.items()}

    def set_attr(self, name: str, value: Any) -> Any:
        """Set attribute `name` and return this object.

        The kind is what the op's definition declares, or what AMD's files use for this name (`KNOWN_KINDS`), or
        follows from the Python type: int is int32 and float is double. `xir.Attr(kind, value)` chooses any other.

        Raises:
            XirError: when the value does not fit.
        """
        self._attrs[name] = self._typed(name, value)
        return self

    def set_attrs(self, attrs: dict[str, Any]) -> Any:
        """Replace all attributes and return this object.

        Raises:
            XirError: when a value does not fit.
        """
        if not isinstance(attrs, dict):
            raise XirError(f"{self._label()}: attrs must be a dict, got {type(attrs).__name__}")
        self._attrs = {name: self._typed(name, value) for name, value in attrs.items()}
        return self

    def _typed(self, name: str, value: Any) -> Attr:
        try:
            return typed(_string(name), value, self._declared(name))
        except TypeError:
            raise XirError(f"{self._label()}: an attribute's name must be a str, got {name!r}") from None
        except XirError as error:
            raise XirError(f"{self._label()}: {error}") from None

    def _find(self, name: str) -> Attr:
        attr = self._attrs.get(name) or self._default(name)
        if attr is None:
            names = ", ".join(sorted({**self._defaults(), **self._attrs})) or "none"
            raise XirError(f"{self._label()} has no attribute '{name}' (it has: {names[:400]})")
        return attr

    def _label(self) -> str:
        """Return what errors call this object."""
        raise NotImplementedError

    def _declared(self, name: str) -> str | None:
        """Return the kind that a definition declares for attribute `name`."""
        return None

    def _default(self, name: str) -> Attr | None:
        """Return what attribute `name` is where it is not set."""
        return self._defaults().get(name)

    def _defaults(self) -> dict[str, Attr]:
        return {}


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return list(value)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value
