"""The files of docs/extending.md as somebody who follows the page makes them, and a network with its layer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page asks for."""
    folder = tmp_path_factory.mktemp("mine")
    files = re.findall(r"^<!-- an excerpt of file (\S+) -->\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == [
        *(f"cap_layer/{stage}.py" for stage in ("quantizer", "compiler", "reference", "litert")),
        *("my_source.py", "my_step.py", "my_task.py", "pixels_mt.py", "shrink_operation/importer.py"),
    ]
    for name, text in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    for name in ("cap_layer", "shrink_operation"):
        (folder / name / "__init__.py").write_text("")
    return folder


@pytest.fixture(scope="session")
def run_python(package: Path) -> Callable[..., str]:
    """A function that runs Python in the page's folder, with an extension, and returns what it prints."""

    def run(*arguments: str, extension: str) -> str:
        paths = os.pathsep.join(map(str, (package, ROOT / "src", ROOT / "target_src", ROOT / "tests" / "onnx_import")))
        environment = {**os.environ, "PYTHONPATH": paths, "SOFTDPU_EXTENSIONS": extension}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run
