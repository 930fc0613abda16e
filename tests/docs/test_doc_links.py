"""Links of the pages lead somewhere: relative ones to a file, those with an anchor to a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page; equal headings get -1, -2 and so on."""
    found: set[str] = set()
    for line in without_blocks(page.read_text(encoding="utf-8")).splitlines():
        heading = re.match(r"#{1,6} (.*)", line)
        if heading:
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).strip().lower()
            anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
            number = sum(1 for other in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", other))
            found.add(f"{anchor}-{number}" if number else anchor)
    return found


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in LINK.findall(without_blocks(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert not broken(page)


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    headings = "# One `two`: three\n## Same\n## Same\n```\n# no heading\n```\n"
    page.write_text(headings + "[a](#one-two-three) [b](#same-1) [c](page.md) [d](https://a.b/#c)\n")
    assert broken(page) == []
    page.write_text(headings + "[a](#no-heading) [b](#same-2) [c](other.md) [d](page.md#x)\n")
    assert broken(page) == ["#no-heading", "#same-2", "other.md", "page.md#x"]


FOLDERS = ("", "src/softdpu", "src", "tests", "target_src", "src/softdpu/numbers/data")
NAMED = re.compile(r"`([\w./-]+(?:\.py|\.csv|\.yaml|/))`(?: \(the table `(\w+)`\))?")


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/compiler.md", "CONTRIBUTING.md"])
def test_pages_for_developers_name_files_and_tables_that_are_there(name: str) -> None:
    page = ROOT / name
    found = NAMED.findall(without_blocks(page.read_text(encoding="utf-8")))
    assert len(found) > 1
    for path, table in found:
        places = [ROOT / folder / path for folder in (*FOLDERS, f"src/softdpu/{page.stem}")]
        file = next((place for place in places if place.exists()), None)
        assert file is not None, path
        assert not table or re.search(rf"^{table}\b.* = ", file.read_text(encoding="utf-8"), re.MULTILINE), (
            path,
            table,
        )
