"""The one place where graphs meet what reads, writes and draws them, which is imported when it is first asked for.

So the data classes know no format, and a program that only builds graphs loads no protobuf. That Graph, Op, Subgraph
and Tensor name each other, for type checkers only, is right: each refers to the others, as in AMD's API.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable

READ_FILE = "xir.reader:read_file"
READ_BYTES = "xir.reader:read_bytes"
WRITE_FILE = "xir.writer:write_file"
WRITE_BYTES = "xir.writer:write_bytes"
SAVE_DOT = "xir.dot:save"
SAVE_IMAGE = "xir.dot:save_image"


def load(name: str) -> Callable[..., Any]:
    """Return the function that a "module:function" names."""
    module, function = name.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
