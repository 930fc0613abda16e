"""Every Python that pyproject.toml names and this machine has: the base install compiles to the same bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import other_pythons
import pytest
from h5_models import H5Model

ROOT = Path(__file__).resolve().parents[2]
CLASSIFIERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
SUPPORTED = [
    found[1] for text in CLASSIFIERS if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text))
]
PROGRAM = "import sys; from softdpu.commands.main import main; sys.exit(main(sys.argv[1:]))"


def test_this_python_is_one_of_them() -> None:
    assert len(SUPPORTED) > 1 and "{}.{}".format(*sys.version_info) in SUPPORTED


@pytest.mark.long
@pytest.mark.parametrize("version", SUPPORTED)
def test_the_base_install_compiles_to_the_same_bytes(version: str, tmp_path: Path) -> None:
    python = other_pythons.find(version)
    if python is None:
        pytest.skip(f"no Python {version} is found (SOFTDPU_PYTHON{version.replace('.', '')}, PATH, pyenv)")
    toy = H5Model(seed=3)
    x = toy.relu(toy.conv(toy.input((8, 8, 3)), (3, 6), out=None, name="first"), 4, 6.0, name="act")
    model = toy.write(tmp_path / "m.h5", [toy.conv(x, (6, 6), name="second")])
    compiling = ["--model", str(model), "--target", "zcu102", "--output"]
    here = [sys.executable, "-c", PROGRAM, "compile", *compiling, str(tmp_path / "here.xmodel")]
    subprocess.run(here, check=True, capture_output=True, timeout=120)

    source = tmp_path / "source"  # pip writes into the folder that it installs
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run([str(python), "-m", "venv", str(tmp_path / "env")], check=True)
    pip = [str(tmp_path / "env/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, str(source)], check=True, timeout=300)
    for words in (
        ["compile", *compiling, str(tmp_path / "there.xmodel")],
        ["inspect", str(model), "--target", "zcu102"],
        ["xmodel", "show", str(tmp_path / "there.xmodel")],
    ):
        command = [str(tmp_path / "env/bin/softdpu"), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "there.xmodel").read_bytes() == (tmp_path / "here.xmodel").read_bytes()
