"""Data types of tensors: a class of numbers and a bit width, such as xint8 or float32."""

from __future__ import annotations

import enum
import re

from xir.errors import XirError


class _Type(enum.IntEnum):
    INT = 0
    UINT = 1
    XINT = 2
    XUINT = 3
    FLOAT = 4
    BFLOAT = 5
    UNKNOWN = 6


class DataType:
    """A class of numbers (`type`) and a width in bits (`bit_width`).

    `DataType()` is UNKNOWN with no bits, `DataType("xint8")` reads a name (all upper or all lower case) and
    `DataType(DataType.XINT, 8)` takes the two parts. An "X" type holds fixed-point numbers.
    """

    __slots__ = ("bit_width", "type")

    Type = _Type
    INT = _Type.INT
    UINT = _Type.UINT
    XINT = _Type.XINT
    XUINT = _Type.XUINT
    FLOAT = _Type.FLOAT
    BFLOAT = _Type.BFLOAT
    UNKNOWN = _Type.UNKNOWN

    def __init__(self, type: str | int = _Type.UNKNOWN, bit_width: int = 0) -> None:
        if isinstance(type, str):
            self.type, self.bit_width = _parse(type)
        else:
            try:
                self.type = _Type(type)
            except ValueError:
                raise XirError(f"a data type is a number from 0 (INT) to 6 (UNKNOWN), got {type}") from None
            self.bit_width = int(bit_width)

    @property
    def name(self) -> str:
        """The lower-case name, such as "xint8"."""
        return f"{self.type.name.lower()}{self.bit_width}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DataType) and (self.type, self.bit_width) == (other.type, other.bit_width)

    def __hash__(self) -> int:
        return hash((self.type, self.bit_width))

    def __repr__(self) -> str:
        return f"<xir.DataType '{self.name}'>"

    def __str__(self) -> str:
        return f"'{self.name}'"


def _parse(name: str) -> tuple[_Type, int]:
    match = re.fullmatch(r"([A-Za-z]+)([0-9]{1,9})", name)
    letters = match.group(1) if match else ""
    if not match or letters not in (letters.upper(), letters.lower()) or letters.upper() not in _Type.__members__:
        raise XirError(f"a data type is written like xint8, uint16 or FLOAT32, got '{name[:80]}'")
    return _Type[letters.upper()], int(match.group(2))
