"""No path and no setting can break a shell command of a rule: every value that a command takes is quoted."""

from __future__ import annotations

import argparse
import ast
import re
import runpy
import string
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    (f"{path.name}:{text.count(chr(10), 0, found.start()) + 1}", ast.literal_eval(f"({found[2]})"))
    for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
    for text in [path.read_text(encoding="utf-8")]
    for found in re.finditer(r"^( *)shell:\n((?:\1 +\S.*\n)+)", text, re.MULTILINE)
]


def find_unquoted(command: str) -> list[str]:
    """Return what of a shell command of a rule the shell would split or expand: values without :q, bare $ and `."""
    found = [
        f"{{{field}}}" for _, field, kind, _ in string.Formatter().parse(command) if field is not None and kind != "q"
    ]
    outside = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    return found + re.findall(r"\$\(|\$\w+|`", outside) + re.findall(r'"[^"]*`', command)


@pytest.mark.parametrize(("place", "command"), COMMANDS, ids=[place for place, _ in COMMANDS])
def test_every_word_is_quoted(place: str, command: str) -> None:
    assert not find_unquoted(command), f'{place}: write {{...:q}}, and "$(...)" in double quotes'


def test_every_shell_directive_is_looked_at() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk")]
    assert len(COMMANDS) == sum(len(re.findall(r"^ *shell:", text, re.MULTILINE)) for text in texts) > 20


def list_options(script: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the options that a script takes."""
    parsers: list[argparse.ArgumentParser] = []
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self, *_: parsers.append(self) or sys.exit(0))
    monkeypatch.setattr(sys, "argv", [script])
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return set(parsers[0]._option_string_actions)


def read_rules() -> list[tuple[str, tuple[str, ...]]]:
    """Return the script of each rule that has one, and the options that its shell command names."""
    found = []
    pattern = r'script="(scripts/\w+\.py)".*?shell:\n((?: +["\'][^\n]*\n)+)'
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for script, shell in re.findall(pattern, path.read_text(encoding="utf-8"), re.DOTALL):
            found.append((script, tuple(re.findall(r"[ \"](--[a-z-]+)", shell))))
    return found


RULES = read_rules()


@pytest.mark.parametrize(("script", "options"), RULES, ids=[script for script, _ in RULES])
def test_a_script_takes_what_its_rule_gives(
    script: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(options) <= list_options(script, monkeypatch)


@pytest.mark.parametrize(
    ("command", "unquoted"),
    [
        ("cat {input} >{output:q}", ["{input}"]),
        ("cat {input:q} >{output}", ["{output}"]),
        ("cd $(dirname {input:q})", ["$("]),
        ("x=$(realpath {output:q}); app --json $x", ["$(", "$x"]),
        ('x="$(realpath {output:q})"; app --json "$x"', []),
        ("echo `date`", ["`", "`"]),
        ("app {params.run[threads]:q} &> {log:q}", []),
        ("app {params.run[threads]} &> {log:q}", ["{params.run[threads]}"]),
    ],
)
def test_an_unquoted_word_is_found(command: str, unquoted: list[str]) -> None:
    assert find_unquoted(command) == unquoted
