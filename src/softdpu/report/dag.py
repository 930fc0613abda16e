"""The picture of the build's rules, from what `snakemake --rulegraph` prints, laid out by graphviz."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.output.files import write_text

WHAT = {
    "fetch_data": "the data set",
    "records_shard": "images to TFRecords",
    "records_manifest": "checksums, class names",
    "train": "float model",
    "quantize": "int8 by calibration (PTQ)",
    "finetune": "int8 by training (QAT)",
    "inspect": "what the DPU takes",
    "compile": ".xmodel for the board",
    "predict": "frames/s to expect",
    "package": "SD-card folder",
    "run": "the app on this machine",
    "ladder": "accuracy of all stages",
}

_NODE = re.compile(r'^\s*(\d+)\s*\[\s*label\s*=\s*"([^"\\]+)')
_EDGE = re.compile(r"^\s*(\d+)\s*->\s*(\d+)")


def read_graph(text: str) -> dict[str, set[str]]:
    """Return, for each rule, the rules that read its output.

    Args:
        text: what `snakemake <target> --rulegraph` prints, a graph in the language of graphviz.

    Raises:
        SoftdpuError: if there is no rule in it.
    """
    lines = text.splitlines()
    names = {found[1]: found[2] for found in map(_NODE.match, lines) if found}
    if not names:
        raise SoftdpuError(
            "expected the graph that `snakemake target_zcu102 --rulegraph` prints, got no rule; pipe it in"
        )
    graph: dict[str, set[str]] = {name: set() for name in names.values()}
    for found in map(_EDGE.match, lines):
        if found and found[1] != found[2]:
            graph[names[found[1]]].add(names[found[2]])
    return graph


def reduce_graph(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return a graph without the edges that longer ways make superfluous."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        queue = [start]
        while queue:
            for name in graph[queue.pop()] - found:
                found.add(name)
                queue.append(name)
        return found

    below = {name: reached(name) for name in graph}
    return {name: {to for to in ends if not any(to in below[other] for other in ends)} for name, ends in graph.items()}


def as_dot(graph: Mapping[str, set[str]]) -> str:
    """Return a graph in the language of graphviz, a box a rule with what it makes."""
    lines = [
        "digraph rules {",
        'bgcolor="white"; nodesep=0.35; ranksep=0.28;',
        'node [shape=box, style="rounded,filled", fillcolor="#eaf3fa", color="#0072B2", fontname="sans-serif",',
        ' fontsize=11, margin="0.12,0.06"];',
        'edge [color="#555555", arrowsize=0.7];',
    ]
    for name in sorted(graph):
        label = f"<<b>{name}</b>" + (f'<br/><font point-size="9">{WHAT[name]}</font>' if name in WHAT else "") + ">"
        lines.append(f'"{name}" [label={label}{"" if graph[name] else ", penwidth=2.5"}];')
    lines += [f'"{name}" -> "{to}";' for name in sorted(graph) for to in sorted(graph[name])]
    return "\n".join([*lines, "}"]) + "\n"


def draw_dag(text: str, path: Path) -> None:
    """Draw what `snakemake --rulegraph` printed as SVG; an arrow that follows from others is left out.

    Raises:
        SoftdpuError: if it is no such graph, or graphviz is missing.
    """
    source = as_dot(reduce_graph(read_graph(text)))
    try:
        run = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise SoftdpuError("graphviz's program dot is missing, which lays out the picture; install graphviz") from None
    if run.returncode:
        raise SoftdpuError(f"dot cannot draw the graph: {run.stderr.strip()[:300]}")
    write_text(path, run.stdout)
