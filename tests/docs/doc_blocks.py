"""The code blocks of README.md and docs/: what language they are in, and what they need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<marker>[^\n]+?) -->\n)?^ *```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One block: its page and line, language, text, and the comment `<!-- ... -->` right above it."""

    page: str
    line: int
    language: str
    text: str
    marker: str

    @property
    def needs(self) -> str:
        """Return what it needs that a test has not, '' for nothing."""
        return self.marker[6:] if self.marker.startswith("needs ") else ""

    def commands(self) -> list[str]:
        """Return the commands of a shell block, continued lines joined, comments left out."""
        joined = re.sub(r"\\\n\s*", "", self.text)
        return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def blocks() -> list[Block]:
    """Return all blocks in the order in which somebody reads them: README.md, then the pages by name."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            line = text[: match.start("text")].count("\n")
            found.append(Block(page.name, line, match["language"], match["text"], match["marker"] or ""))
    return found
