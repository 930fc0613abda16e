"""`snakemake export`: the files for other devices, on request or with every target."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from workflow_tools import snakemake

pytestmark = pytest.mark.slow


def planned(folder: Path, *arguments: str) -> set[str]:
    run = snakemake(folder, "-n", *arguments)
    assert run.returncode == 0, run.stdout
    return {name for name in re.findall(r"^(\w+) +\d+$", run.stdout, re.MULTILINE) if name != "total"}


def test_exports_are_made_on_request_and_have_the_network_s_accuracy(built: Path, tmp_path: Path) -> None:
    # In a copy: other tests look at the same build, and expect it without exports.
    built = shutil.copytree(built, tmp_path / "built", symlinks=True)
    assert "export_file" not in planned(built, "target_zcu102")
    run = snakemake(built, "-j2", "export")
    assert run.returncode == 0, run.stdout
    folder = built / "build/export"
    names = ["mobilenet.tflite", "mobilenet.vint8.onnx", "mobilenet.xint8.onnx"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, *(f"{name}.json" for name in names)])
    expected = json.loads((built / "build/quant_ft_model/metrics.json").read_text(encoding="utf-8"))
    for name in names:
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        assert found["images"] == expected["images"]
        assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-9)
        assert found["check"]["different"] == found["check"]["unexplained"] == 0
    assert planned(built, "export") == set()

    with_target = ["target_zcu102", "--config", "export=with_target"]
    assert planned(built, *with_target) == {"ladder", "target_zcu102"}
    run = snakemake(built, "-j2", *with_target)
    assert run.returncode == 0, run.stdout
    steps = json.loads((built / "build/ladder_zcu102.json").read_text(encoding="utf-8"))["steps"]
    assert [step["name"] for step in steps][-3:] == ["xint8 ONNX", "vint8 ONNX", "tflite"]
