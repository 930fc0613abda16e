"""What runs in AMD's containers keeps to their Python and to their packages."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from softdpu.build import vitis_ai
from softdpu.output.sources import sources

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("train", "quantize", "finetune", "evaluate")
FILES = sorted(
    {file for name in SCRIPTS for file in sources(ROOT / f"scripts/{name}.py", ROOT) if file.endswith(".py")}
)


def test_there_is_something_to_check() -> None:
    assert "src/softdpu/training/quantization.py" in FILES and "src/softdpu/quantizer/ops.py" in FILES


def test_it_runs_on_the_oldest_python() -> None:
    versions = [entry["python"] for entry in vitis_ai.read_table()["versions"].values()]
    assert min(versions) == "3.7"
    command = [str(Path(sys.executable).parent / "vermin"), "-t=3.7-", "--no-tips", "--violations", *FILES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("source", ["a = {1: 2} | {3: 4}", "if (n := 3): pass", "'ab'.removeprefix('a')"])
def test_the_check_finds_newer_python(source: str, tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text(source + "\n")
    command = [str(Path(sys.executable).parent / "vermin"), "-t=3.7-", "--no-tips", str(tmp_path / "new.py")]
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_annotations_are_never_evaluated() -> None:
    """`X | None` and list[int] in annotations need Python 3.10 and 3.9 wherever they are evaluated."""
    for file in FILES:
        body = ast.parse((ROOT / file).read_text()).body
        if any(not isinstance(node, ast.Expr) for node in body):
            assert "from __future__ import annotations" in (ROOT / file).read_text(), file


def imported(node: ast.AST, guarded: bool = False) -> Iterator[tuple[str, int]]:
    """Yield (dotted name, line) of the imports that must succeed: not those with an except ImportError."""
    if isinstance(node, ast.Try):
        caught = {name.id for handler in node.handlers for name in ast.walk(handler) if isinstance(name, ast.Name)}
        guarded = guarded or bool(caught & {"ImportError", "ModuleNotFoundError"})
    if isinstance(node, ast.Import) and not guarded:
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not guarded and not node.level:
        yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child, guarded)


def test_it_imports_only_what_the_containers_have() -> None:
    there = (*vitis_ai.read_table()["packages"], "softdpu", *sys.stdlib_module_names)
    # softdpu's own quantizer is not run there: AMD's is.
    for file in (file for file in FILES if not file.startswith("src/softdpu/quantizer/")):
        for name, line in imported(ast.parse((ROOT / file).read_text())):
            assert any(name == known or name.startswith(known + ".") for known in there), f"{file}:{line}: {name}"


def test_the_two_lists_of_packages_agree() -> None:
    """The environment that the tests make has no package that a container lacks, such as tqdm."""
    text = (ROOT / "envs/vitis-ai-test.txt").read_text()
    assert "tqdm" not in text and "google-crc32c" not in text and "tensorflow-cpu==2.12.0" in text
