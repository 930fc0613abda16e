"""An error is one line, whatever the names in it."""

from __future__ import annotations

import copy
import pickle

import pytest

from softdpu.errors import SoftdpuError
from softdpu.quantizer.errors import QuantizerError
from vart.errors import VartError


@pytest.mark.parametrize("kind", [SoftdpuError, QuantizerError, VartError])
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("net.h5: expected  two  spaces", "net.h5: expected  two  spaces"),
        ("op 'a\nb'", "op 'a b'"),
        ("op 'a\r\nb\x85c\u2028d'", "op 'a b c d'"),
        ("\x1b[2J\x1b]0;x\x07", "\\x1b[2J\\x1b]0;x\\x07"),
        ("\u202eabc\udcff", "\\u202eabc\\udcff"),
        ("é 中", "é 中"),
        (ValueError("why"), "why"),
    ],
)
def test_what_a_name_holds_is_not_obeyed(kind: type[SoftdpuError], text: object, told: str) -> None:
    error = kind(text)
    assert str(error) == told and str(error).isprintable()
    assert str(pickle.loads(pickle.dumps(error))) == told == str(copy.copy(error))


@pytest.mark.parametrize(
    "name", ["x" * 5000, "\n" * 5000 + "x" * 3000, "\x1b" * 2000, "\U000e0001" * 1999, "é" * 10**6]
)
def test_a_long_name_leaves_the_advice_to_be_read(name: str) -> None:
    told = str(SoftdpuError(f"net.onnx: {name}; export it again"))
    assert told.startswith("net.onnx: ") and told.endswith("; export it again")
    assert len(told) <= 2000 and told.isprintable()
