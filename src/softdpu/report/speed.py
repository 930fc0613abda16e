"""Throughput of the app by number of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.output.pictures import choose_line_style, picture
from softdpu.report.stages import read_json

# AMD's tutorial on a ZCU102, MobileNet v1 1.0 at 224x224: frames per second by threads.
TUTORIAL = {1: 194.12, 6: 731.21}


def read_sweep(path: Path) -> list[tuple[int, float]]:
    """Return (threads, frames per second) from the JSON file of `app_mt.py --sweep`.

    Raises:
        SoftdpuError: if there is no such table in it.
    """
    rows: Any = read_json(path).get("sweep")
    try:
        found = [(int(row["threads"]), float(row["fps"])) for row in rows]
        if not found or not all(0 < threads < 1 << 16 and 0 < fps < 1e12 for threads, fps in found):
            raise ValueError("no counts and speeds")
        return found
    except (TypeError, KeyError, ValueError, OverflowError):
        raise SoftdpuError(f"{path} holds no table of throughput; run app_mt.py with --sweep") from None


def draw_throughput(path: Path, rows: list[tuple[int, float]], target: str) -> None:
    """Draw frames per second by threads, with the line of a perfect speed-up."""
    threads, fps = [row[0] for row in rows], [row[1] for row in rows]
    with picture(path, 7, 4.2) as figure:
        axes = figure.subplots()
        axes.plot(threads, fps, label="measured", **choose_line_style(0))
        ideal = [fps[0] * count / threads[0] for count in threads]
        axes.plot(threads, ideal, color="black", linestyle=":", label=f"{threads[0]} thread, times the number")
        for count, value in rows:
            axes.annotate(f"{value:,.0f}", (count, value), xytext=(0, -14), textcoords="offset points", ha="center")
        axes.set_xlabel("threads, one runner each")
        axes.set_ylabel("throughput, images per second")
        axes.set_xticks(threads)
        axes.set_ylim(0, 1.12 * max([*fps, *ideal]))
        axes.grid()
        axes.legend(loc="upper left")
        figure.suptitle(
            f"{target}: the software DPU on this machine's processor, not the speed of a board", x=0.01, ha="left"
        )
        tutorial = ", ".join(f"{value:,.0f} with {count}" for count, value in TUTORIAL.items())
        figure.supxlabel(f"AMD's tutorial on a ZCU102, MobileNet v1 1.0 at 224x224, threads: {tutorial}", fontsize=8)
