"""What is shipped for a board's Arm CPU runs on the Python 3.8 of AMD's older images."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from softdpu.deploy import arm

NEWER = {"removeprefix", "removesuffix", "cache"}  # 3.9, the last as functools.cache
GENERIC = {"list", "dict", "tuple", "set", "frozenset", "type"}  # subscripted at run time: 3.9


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The modules that the reference engine needs; LiteRT itself needs a newer Python."""
    entries = arm.list_entries(tmp_path_factory.mktemp("runtime"))
    names = [name for name in entries if name.endswith(".py") and "/litert/" not in name]
    needed = ("vart/runner", "vitis_ai_library/graph_runner", "xir/graph", "softdpu/numbers/fixed_point")
    assert {f"{arm.FOLDER}/{name}.py" for name in needed} < set(names)
    assert not any("tensorflow" in name or "quantizer" in name or "compiler" in name for name in names)
    return {name: entries[name].path for name in names}


def findings(path: Path) -> list[str]:
    """Return what of a file Python 3.8 cannot run; annotations are not evaluated and do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    generic = set(GENERIC)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "collections.abc":
            generic |= {alias.name for alias in node.names}
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, None)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in NEWER:
            found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in generic:
            found.append(f"{node.lineno}: {node.value.id}[]")
        if isinstance(node, ast.keyword) and node.arg == "strict":
            found.append(f"{node.lineno}: strict")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and isinstance(node.right, ast.Constant):
            found += [f"{node.lineno}: | None"] if node.right.value is None else []
    return found


def test_runs_on_python_3_8(shipped):
    assert {name: findings(path) for name, path in shipped.items() if findings(path)} == {}


@pytest.mark.parametrize(
    "line",
    ["x = list[int]", "C = Callable[[], None]", "'a'.removeprefix('b')", "zip(a, strict=True)", "X = int | None"],
)
def test_the_check_finds(tmp_path, line):
    (tmp_path / "x.py").write_text(f"from collections.abc import Callable\ndef f(a: list[int] | None): ...\n{line}\n")
    assert len(findings(tmp_path / "x.py")) == 1
