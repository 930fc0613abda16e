"""HTML pages with tables in one style: one file each, nothing loaded from elsewhere, equal data gives equal bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from softdpu.output.files import PathLike, write_text

# Colours follow the reader's choice of light or dark; a wide table scrolls by itself, so that a phone shows the page.
_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --page: white; --soft: #555; --line: #ccc; --block: #f3f3f3 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --page: #16181c; --soft: #a9a9a9; --line: #44474d; --block: #23262b }
}
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--page) }
body { margin: 1.5rem; max-width: 75rem }
h1 { font-size: 1.35rem } h2 { font-size: 1.1rem; margin-top: 1.6rem } p { overflow-wrap: anywhere }
table { border-collapse: collapse; display: block; overflow-x: auto; max-width: 100% }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { border-bottom: 2px solid var(--soft) } .number { text-align: right; font-variant-numeric: tabular-nums }
pre { background: var(--block); padding: .8rem; overflow-x: auto } code { font-size: .85rem }
.note { color: var(--soft) }
@media (max-width: 30rem) { body { margin: .8rem } }
"""


def write_page(path: PathLike, title: str, blocks: Iterable[str]) -> None:
    """Write a page of blocks, each HTML from the functions below, whole or not at all."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    body = "\n".join([f"<h1>{escape(title)}</h1>", *blocks])
    write_text(path, f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n')


def heading(text: str) -> str:
    """Return a heading below the title."""
    return f"<h2>{escape(text)}</h2>"


def note(text: str) -> str:
    """Return a paragraph that explains."""
    return f'<p class="note">{escape(text)}</p>'


def listing(text: str) -> str:
    """Return text in lines as they are, such as a configuration."""
    return f"<pre><code>{escape(text)}</code></pre>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], numbers: Sequence[int] = ()) -> str:
    """Return a table, without a head if `columns` is empty; those whose indexes are in `numbers` stand to the right."""
    head = [_row("th", columns, numbers)] if columns else []
    body = [_row("td", [str(cell) for cell in row], numbers) for row in rows]
    return "\n".join(["<table>", *head, *body, "</table>"])


def _row(tag: str, cells: Sequence[str], numbers: Sequence[int]) -> str:
    def cell(place: int, text: str) -> str:
        kind = ' class="number"' if place in numbers else ""
        return f"<{tag}{kind}>{escape(text)}</{tag}>"

    return "<tr>" + "".join(cell(place, text) for place, text in enumerate(cells)) + "</tr>"
