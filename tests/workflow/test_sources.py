"""The source files of a script, compared with what Python itself imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from softdpu.output.sources import sources

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py"))

# Runs `script --help` and prints every module file of ours that this loaded.
_PROBE = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
for module in list(sys.modules.values()):
    if getattr(module, "__file__", None):
        print("FILE", module.__file__)
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_sources_cover_what_the_script_loads(script: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _PROBE, str(script)], capture_output=True, text=True, check=True)
    loaded = {Path(line[5:]) for line in run.stdout.splitlines() if line.startswith("FILE ")}
    ours = {str(path.relative_to(ROOT)) for path in loaded if ROOT / "src" in path.parents}
    assert ours <= set(sources(script, ROOT))


def test_stages_do_not_reach_each_other() -> None:
    def packages(name: str) -> set[str]:
        return {"/".join(path.split("/")[:3]) for path in sources(ROOT / "scripts" / name, ROOT)}

    assert "src/softdpu/compiler" not in packages("train.py") | packages("quantize.py")
    assert "src/softdpu/quantizer" not in packages("train.py") | packages("compile.py")
    assert "src/softdpu/runtime" not in packages("compile.py") | packages("finetune.py")


def test_lazy_and_relative_imports_and_data_are_found(tmp_path: Path) -> None:
    package = tmp_path / "src" / "softdpu"
    (package / "numbers" / "data").mkdir(parents=True)
    (package / "numbers" / "data" / "table.csv").write_text("a\n")
    for name in ("__init__", "numbers/boards", "one", "two", "other"):
        (package / f"{name}.py").write_text("from . import two\n" if name == "one" else "")
    script = tmp_path / "run.py"
    script.write_text("def main():\n    from softdpu.one import x\n    import softdpu.numbers.boards\n")
    names = ["__init__.py", "numbers/boards.py", "numbers/data/table.csv", "one.py", "two.py"]
    assert sources(script, tmp_path) == ["run.py", *(f"src/softdpu/{name}" for name in names)]


def test_what_a_registry_names_is_found() -> None:
    assert "src/softdpu/rescue/recipe.py" in sources(ROOT / "scripts/quantize.py", ROOT)
    assert "src/softdpu/rescue/recipe.py" not in sources(ROOT / "scripts/compile.py", ROOT)
