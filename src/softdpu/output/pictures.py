"""Pictures as SVG in one style: readable in black and white and by colour-blind people, equal data gives equal bytes.

Text stays text, so that names in any script are drawn with the reader's fonts, and are never read as formulas.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from softdpu.output.files import PathLike, whole_file

# Okabe and Ito's colours, ordered so that neighbours differ in brightness too.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, BLACK = "#56B4E9", "#CC79A7", "#000000"
GREY = "#767676"
SERIES = (BLUE, VERMILION, SKY, BLACK, GREEN, PURPLE)
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", "-", "--")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")

NAME_LENGTH = 24

_STYLE = {
    "svg.hashsalt": "softdpu",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#d0d0d0",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.8,
    "legend.frameon": False,
    "lines.markersize": 5,
}


@contextlib.contextmanager
def picture(path: PathLike, width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of width x height inches, and write it to `path` when the block ends.

    It is written as SVG, or as PNG or PDF where the path ends in .png or .pdf.

    Raises:
        OSError: if the file cannot be written; it appears whole or not at all.
    """
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")  # the reader's fonts draw it
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        with whole_file(path) as part:
            kind = str(path).lower().rpartition(".")[2]
            if kind == "png":
                figure.savefig(part, format="png", dpi=150, metadata={"Software": None})
            elif kind == "pdf":
                figure.savefig(part, format="pdf", metadata={"CreationDate": None, "Creator": None})
            else:
                figure.savefig(part, format="svg", metadata={"Date": None, "Creator": None})


def draw_placeholder(path: PathLike, title: str, why: str) -> None:
    """Write a picture that only says what would be here, and why it is not."""
    with picture(path, 7, 1.2) as figure:
        figure.text(0.02, 0.66, title, fontsize=11, weight="bold")
        figure.text(0.02, 0.24, why, color=GREY)


def set_logarithmic(axis: Any, base: int = 10) -> None:
    """Make an axis, such as `axes.yaxis`, logarithmic, with plain numbers beside it."""
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=base)
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def choose_line_style(number: int) -> dict[str, Any]:
    """Return colour, marker and dash of the series `number`: each of the three alone tells series apart."""
    count = len(SERIES)
    return {"color": SERIES[number % count], "marker": MARKERS[number % count], "linestyle": LINES[number % count]}


def choose_bar_style(number: int) -> dict[str, Any]:
    """Return the colour and the hatch of the bars of series `number`; the first is solid, the others light."""
    color = SERIES[number % len(SERIES)]
    hatch = HATCHES[number % len(HATCHES)]
    return {"facecolor": color if not hatch else "white", "edgecolor": color, "hatch": hatch}


def printable(name: str, length: int = NAME_LENGTH) -> str:
    """Return a name without what no SVG can hold (control characters), cut in its middle if it is longer."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name)
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[: length - 1 - half]}…{text[-half:]}"


def name_classes(names: Sequence[str], count: int) -> list[str]:
    """Return `count` printable names of classes: `names`, and numbers where there is no name."""
    return [printable(names[i]) if i < len(names) and names[i].strip() else f"class {i}" for i in range(count)]
