"""Facts that several files need are written once: the version, the oldest Python, the style checks."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import yaml

import softdpu

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_version_is_that_of_the_package() -> None:
    assert "version" not in PROJECT["project"] and PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "softdpu.__version__"}
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest and newest[1] == softdpu.__version__


def test_the_oldest_python_is_that_of_the_project() -> None:
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=")
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"the interpreter ({oldest} or newer)" in done.stdout
    assert f"Both need Python {oldest} " in (ROOT / "README.md").read_text()
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    tried = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    supported = [text.removeprefix("Programming Language :: Python :: ") for text in PROJECT["project"]["classifiers"]]
    assert tried == supported and tried[0] == oldest
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == "py" + oldest.replace(".", "")


def test_pre_commit_runs_the_style_checks_of_the_tests() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"]: hook for repository in config["repos"] for hook in repository["hooks"]}
    assert set(hooks) == {"ruff", "ruff-format", "snakefmt", "mypy", "import-linter"}
    assert all(repository["repo"] == "local" for repository in config["repos"])
    assert all(hook["language"] == "system" for hook in hooks.values())
    files = [path.name for path in (ROOT / "rules").glob("*.smk")]
    assert files and all(re.search(hooks["snakefmt"]["files"], name) for name in ["Snakefile", *files])


def test_the_workflow_runs_what_developers_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    runs = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in runs
