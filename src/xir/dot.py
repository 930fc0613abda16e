"""Drawings of graphs in Graphviz's dot language."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

from xir.errors import XirError

if TYPE_CHECKING:
    from xir.subgraph import Subgraph

_COLORS = {"CPU": "red", "DPU": "blue", "USER": "green"}


def save(subgraph: Subgraph, fname: str) -> None:
    """Write a drawing of `subgraph`: ops as boxes, subgraphs as frames around them, coloured by device.

    Raises:
        XirError: when the file cannot be written.
    """
    try:
        with open(fname, "w", encoding="utf-8") as file:
            file.write(_drawing(subgraph))
    except OSError as error:
        raise XirError(f"{fname}: cannot be written: {error.strerror}") from None


def save_image(subgraph: Subgraph, fname: str, format: str) -> None:
    """Draw `subgraph` with Graphviz's `dot` program.

    Raises:
        XirError: when there is no such program or it fails.
    """
    try:
        command = ["dot", f"-T{format}", "-o", fname]
        done = subprocess.run(command, input=_drawing(subgraph), capture_output=True, text=True, check=False)
    except OSError as error:
        raise XirError(f"{fname}: drawing needs Graphviz's program dot: {error.strerror}") from None
    if done.returncode:
        raise XirError(f"{fname}: dot failed: {' '.join(done.stderr.split())[:300]}")


def _drawing(subgraph: Subgraph) -> str:
    ops = subgraph.toposort()
    lines = ["digraph G {", "node [shape=box, style=rounded];"]
    for op in ops:
        tensor = op.get_output_tensor()
        texts = (op.get_name(), op.get_type(), f"{tensor.name} {tensor.dims} {tensor.dtype}")
        lines.append(f'"{_quoted(op.get_name())}" [label="{_quoted(chr(10).join(texts))}"];')
    inside = set(ops)
    for op in ops:
        for sources in op.get_input_ops().values():
            lines += [
                f'"{_quoted(source.get_name())}" -> "{_quoted(op.get_name())}";'
                for source in sources
                if source in inside
            ]
    for child in subgraph.toposort_child_subgraph():
        lines += _frame(child)
    return "\n".join([*lines, "}", ""])


def _frame(subgraph: Subgraph) -> Iterator[str]:
    yield f"subgraph cluster_{hash(subgraph)} {{"
    color = _COLORS.get(str(subgraph.get_attr("device")), "black") if subgraph.has_attr("device") else "black"
    yield f'label="{_quoted(subgraph.get_name())}"; color={color};'
    if subgraph.is_leaf:
        for op in subgraph.toposort():
            yield f'"{_quoted(op.get_name())}";'
    for child in subgraph.toposort_child_subgraph():
        yield from _frame(child)
    yield "}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
