"""Frames/s to expect on the board, and what each layer waits for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softdpu.output.files import expecting
from softdpu.output.pages import heading, note, table, write_page
from softdpu.report.stages import read_json

_APPS = {"dpu": "DPU only", "app": "with AMD's C++ app", "python": "with a Python app"}


def write_prediction(path: Path, source: Path | None) -> None:
    """Write the JSON file of `softdpu predict` as a page: frames/s by threads, advice, layers.

    Raises:
        SoftdpuError: the file cannot be read.
    """
    title = "Frames/s to expect on the board"
    if source is None:
        write_page(path, title, [note("This build has no prediction.")])
        return
    found: dict[str, Any] = read_json(source)
    if not found.get("modelled"):
        write_page(path, title, [note(f"{found.get('target')}: {found.get('reason', 'not modelled')}")])
        return
    with expecting(source, "what `softdpu predict` writes"):
        blocks = _make_blocks(found)
    write_page(path, title, blocks)


def _make_blocks(found: dict[str, Any]) -> list[str]:
    return [
        note(
            f"{found['target']}, {found['dpu']}, {found['cores']} cores at {found['clock_mhz']} MHz. In brackets an "
            f"interval that holds {found['interval']:.0%} of measurements of other networks."
        ),
        table(
            ["one frame on one core, without the app", "ms"], [("latency", _show_range(found["latency_ms"], 2))], [1]
        ),
        heading("Frames/s by threads"),
        table(
            ["threads", *_APPS.values()],
            [(row["threads"], *(_show_range(row[app]) for app in _APPS)) for row in found["fps"]],
            range(4),
        ),
        heading("The layers that cost most, and what would help"),
        table(
            ["layer", "ms", "share", "bound by", "what would help"],
            [
                (one["name"], f"{one['milliseconds']:.3f}", f"{one['share']:.0%}", one["bound"], "; ".join(one["help"]))
                for one in found["most_costly"]
            ],
            (1, 2),
        ),
        heading("All layers"),
        table(
            ["layer", "output", "cycles", "bound by", "used", "DRAM bytes"], map(_make_row, found["layers"]), (2, 4, 5)
        ),
    ]


def _make_row(row: dict[str, Any]) -> tuple[str, ...]:
    used = "" if row["utilisation"] is None else f"{row['utilisation']:.0%}"
    size = " x ".join(map(str, row["output"]))
    return row["name"], size, f"{row['cycles']:,}", row["bound"], used, f"{row['dram_bytes']:,}"


def _show_range(found: dict[str, float], digits: int | None = None) -> str:
    places = digits if digits is not None else 0 if found["value"] >= 100 else 1
    return f"{found['value']:,.{places}f} ({found['low']:,.{places}f} to {found['high']:,.{places}f})"
