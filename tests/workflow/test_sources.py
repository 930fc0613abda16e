"""The source files of a script, compared with what Python itself imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from softdpu.output.sources import sources

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py"))

# Runs each `script --help` and prints every module file that this loaded. What is not ours is loaded once, before.
_PROBE = """
import os, runpy, sys
import cv2, google.protobuf, h5py, matplotlib, numpy, softdpu.keras2.api
for name in [name for name in sys.modules if name.split(".")[0] in ("softdpu", "xir", "vart")]:
    del sys.modules[name]
for script in sys.argv[1:]:
    if os.fork():
        if os.wait()[1]:
            sys.exit(f"{script} failed")
        continue
    sys.argv = [script, "--help"]
    sys.stdout = open(os.devnull, "w")
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit:
        pass
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None):
            print("FILE", script, module.__file__, sep="\t", file=sys.__stdout__, flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[Path]]:
    """The files that each script loads, by its path."""
    command = [sys.executable, "-c", _PROBE, *map(str, SCRIPTS)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in run.stdout.splitlines() if line.startswith("FILE\t")]
    return {str(script): {Path(line[2]) for line in lines if line[1] == str(script)} for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_sources_cover_what_the_script_loads(script: Path, loaded: dict[str, set[Path]]) -> None:
    ours = {str(path.relative_to(ROOT)) for path in loaded[str(script)] if ROOT / "src" in path.parents}
    assert ours and ours <= set(sources(script, ROOT))


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
