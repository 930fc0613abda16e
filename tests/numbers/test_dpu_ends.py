"""What may end a network stands in two files, since the app imports nothing of softdpu: they must agree."""

from __future__ import annotations

import ast
from pathlib import Path

from softdpu.numbers import dpu

RUNNERS = Path(__file__).resolve().parents[2] / "target_src/runners.py"


def test_the_app_and_the_packager_agree_on_what_ends_a_network() -> None:
    for statement in ast.parse(RUNNERS.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "ENDS":
            assert set(ast.literal_eval(statement.value)) == set(dpu._ENDS)
            return
    raise AssertionError(f"{RUNNERS} has no ENDS")
