"""toolchain: vitis-ai, as far as it goes without AMD's container: the command lines, and a stand-in on the PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from workflow_tools import copy_project, environment, snakemake

from softdpu import vitis_ai
from softdpu.errors import SoftdpuError

# Records its arguments and writes what AMD's compiler names.
STAND_IN = """#!/bin/sh
echo "$@" >arguments
while [ $# -gt 0 ]; do
  case $1 in --output_dir) folder=$2 ;; --net_name) name=$2 ;; esac
  shift
done
echo compiled >"$folder/$name.xmodel"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project in which only the compiler is still to run."""
    folder = copy_project(tmp_path / "project")
    (folder / "build/quant_ft_model").mkdir(parents=True)
    (folder / "build/quant_ft_model/quant_ft.h5").write_text("")
    return folder


ARGUMENTS = [
    "build/compiled_model_kv260/mobilenet.xmodel",
    "--allowed-rules", "compile",
    "--config", "toolchain=vitis-ai", "compile={vitis_ai: '2.5'}",
]  # fmt: skip


def test_the_command_is_the_one_that_amd_documents(project: Path) -> None:
    run = snakemake(project, "-n", "-p", *ARGUMENTS)
    assert (
        "vai_c_tensorflow2 --model build/quant_ft_model/quant_ft.h5"
        " --arch /opt/vitis_ai/compiler/arch/DPUCZDX8G/KV260/arch.json"
        " --output_dir build/compiled_model_kv260 --net_name mobilenet" in run.stdout
    )


def test_a_compiler_on_the_path_is_used(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "bin" / "vai_c_tensorflow2"
    tool.parent.mkdir()
    tool.write_text(STAND_IN)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{environment(project)['PATH']}")
    run = snakemake(project, "-j1", *ARGUMENTS)
    assert run.returncode == 0, run.stdout
    assert (project / "build/compiled_model_kv260/mobilenet.xmodel").read_text() == "compiled\n"
    assert "--net_name mobilenet" in (project / "arguments").read_text()


def test_without_amds_tools_one_line_says_what_to_do(project: Path) -> None:
    run = snakemake(project, "-j1", *ARGUMENTS)
    assert run.returncode != 0
    assert "error: toolchain vitis-ai needs vai_c_tensorflow2" in run.stdout


def test_images() -> None:
    assert vitis_ai.image(None) == vitis_ai.image("3.0")
    with pytest.raises(SoftdpuError, match=r"no container image is known for Vitis AI 3\.5"):
        vitis_ai.image("3.5")


def test_a_version_without_an_image_is_told_in_one_line(project: Path) -> None:
    run = snakemake(project, "-n", ARGUMENTS[0], "--config", "toolchain=vitis-ai", "compile={vitis_ai: '3.5'}")
    assert run.returncode != 0
    assert "error: no container image is known for Vitis AI 3.5" in run.stdout
    assert "Traceback" not in run.stdout
