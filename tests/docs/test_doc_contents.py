"""What the pages say is so: the reference is the schema's, the messages are the code's, the commands are explained."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from doc_blocks import ROOT

from softdpu.build.reference import make_reference


def test_the_config_reference_is_the_schemas() -> None:
    page = (ROOT / "docs/config.md").read_text(encoding="utf-8")
    made = make_reference(ROOT / "schemas/config.schema.yaml")
    assert page == made, "docs/config.md is old: python scripts/config_reference.py --output docs/config.md"


def texts(path: Path) -> list[str]:
    """Return every string of a Python file; where an f-string puts a value in, there is '...'."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values]
            found.append("".join(parts))
    return found


def messages() -> list[str]:
    """Return the messages that docs/troubleshooting.md explains, from the first column of its tables."""
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    return [row for row in rows if row != "message"]


def test_every_message_of_the_troubleshooting_page_occurs_in_the_code() -> None:
    known = [
        text
        for folder in ("src", "scripts", "target_src")
        for path in (ROOT / folder).rglob("*.py")
        for text in texts(path)
    ]
    known += [path.read_text(encoding="utf-8") for path in [ROOT / "Makefile", *(ROOT / "rules").glob("*.smk")]]
    missing = []
    for message in messages():
        pattern = ".*".join(re.escape(part.strip()) for part in message.split("...") if part.strip())
        if not any(re.search(pattern, text, re.DOTALL) for text in known):
            missing.append(message)
    assert not missing, "\n".join(missing)
    assert len(messages()) > 30
