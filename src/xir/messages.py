"""The protobuf message of a graph, and its parsing within bounds.

Parsing turns each byte of structure (names, numbers, nested messages) into up to 45 bytes of memory, and a byte of
constant data into one. A hostile file could thus ask for far more memory than it is long, so the structure of large
files is measured before they are parsed.
"""

from __future__ import annotations

import mmap
import os
import stat
from typing import Any

from google.protobuf.message import DecodeError

from xir import xmodel_pb2
from xir.errors import XirError

GraphMessage: Any = vars(xmodel_pb2)["Graph"]

STRUCTURE_LIMIT = 16 << 20  # bytes; graphs of 20,000 ops stay below
FIELD_LIMIT = 1_000_000  # fields that are looked at one by one, about a second's work
_FILE_LIMIT = (2 << 30) - 1  # protobuf's own
_DESCEND_FROM = 1024  # shorter messages are counted whole
_NO_GRAPH = "not an .xmodel, or a truncated one: its bytes are no protobuf message of a graph"


def load(fname: str | os.PathLike[str]) -> Any:
    """Return the graph message in a file.

    Raises:
        XirError: when the file cannot be read or holds no such message.
    """
    try:
        if not stat.S_ISREG(os.stat(fname).st_mode):
            raise XirError("cannot be read: it is no regular file")
        with open(fname, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > STRUCTURE_LIMIT:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
                    check(view)
            return parse(file.read(), checked=True)
    except (OSError, ValueError) as error:
        raise XirError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def parse(data: bytes, checked: bool = False) -> Any:
    """Return the graph message in `data`.

    Raises:
        XirError: when `data` is no such message, or its structure is too large.
    """
    if not data:
        raise XirError("not an .xmodel: it is empty")
    if not checked and len(data) > STRUCTURE_LIMIT:
        check(data)
    message = GraphMessage()
    try:
        message.ParseFromString(data)
    except (DecodeError, RecursionError, ValueError):  # the latter two come from protobuf in pure Python
        raise XirError(_NO_GRAPH) from None
    return message


def check(data: Any) -> None:
    """Check the size of a graph message's structure.

    Args:
        data: bytes or a memory map.

    Raises:
        XirError: when there is too much of it, or it is malformed on the way.
    """
    if len(data) > _FILE_LIMIT:
        raise XirError(f"not an .xmodel: it holds {len(data)} bytes, protobuf ends at {_FILE_LIMIT}")
    structure = fields = 0
    stack = [(0, len(data), GraphMessage.DESCRIPTOR)]
    while stack:
        position, end, descriptor = stack.pop()
        while position < end:
            start = position
            tag, position = _varint(data, position, end)
            wire_type = tag & 7
            size = {1: 8, 5: 4}.get(wire_type, 0)
            if wire_type == 0:
                _, position = _varint(data, position, end)
            elif wire_type == 2:
                size, position = _varint(data, position, end)
            elif not size:
                raise XirError(_NO_GRAPH)
            structure += position - start
            position += size
            if tag < 8 or position > end:
                raise XirError(_NO_GRAPH)
            field = descriptor.fields_by_number.get(tag >> 3)
            if field is not None and field.message_type is not None and size >= _DESCEND_FROM:
                stack.append((position - size, position, field.message_type))
            elif field is None or field.type not in (field.TYPE_BYTES, field.TYPE_STRING):
                structure += size
            fields += 1
            if structure > STRUCTURE_LIMIT or fields > FIELD_LIMIT:
                raise XirError(
                    "not an .xmodel: beside its constants it holds more structure than any graph needs "
                    f"({STRUCTURE_LIMIT >> 20} MiB or {FIELD_LIMIT} fields)"
                )


def _varint(data: Any, position: int, end: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise XirError(_NO_GRAPH)
