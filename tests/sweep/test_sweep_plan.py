"""What a sweep would build: records once, a shared stage once, everything else once a variant; and wrong sweeps."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "workflow"))
from workflow_tools import copy_project, snakemake

SWEEP = """\
variants:
  same: {}
  two_boards: { targets: [zcu102, kv260] }
  tuned: { finetune: { epochs: 2 } }
  wide: { model: { alpha: 0.5 } }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("sweep") / "project")
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder


def test_what_is_equal_is_built_once(folder: Path) -> None:
    run = snakemake(folder, "-n", "--configfile=sweep.yaml", "sweep")
    assert run.returncode == 0, run.stdout
    jobs = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", run.stdout, re.MULTILINE)}
    assert jobs["records_shard"] == 3 and jobs["records_manifest"] == 2
    assert jobs["compare_variants"] == 1
    of_stage = {rule: {name for name in jobs if name.endswith(rule)} for rule in ("train", "quantize", "finetune")}
    assert of_stage == {
        "train": {"train", "wide_train"},
        "quantize": {"quantize", "wide_quantize"},
        "finetune": {"finetune", "tuned_finetune", "wide_finetune"},
    }
    assert jobs["two_boards_compile"] == jobs["two_boards_package"] == 2
    assert jobs["same_compile"] == jobs["same_run"] == jobs["tuned_ladder"] == 1
    assert "build/wide/float_model/float_model.h5" in run.stdout
    assert "build/wide/tfrec" not in run.stdout


def test_variants_leave_the_plain_build_alone(folder: Path) -> None:
    with_variants = snakemake(folder, "-n", "target_zcu102", "--configfile", "sweep.yaml")
    without = snakemake(folder, "-n", "target_zcu102")
    jobs = [re.findall(r"^(\w+) +(\d+)$", run.stdout, re.MULTILINE) for run in (with_variants, without)]
    assert jobs[0] == jobs[1] and ("train", "1") in jobs[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "error: no variants are named; see config/sweep.yaml, and run: snakemake sweep --configfile"),
        ("variants: {a: {modle: {}}}", "error: variants.a: unknown key modle: did you mean model?"),
        ("variants:\n  a: {}\n  a: {}\n", "wrong.yaml: 'a' stands twice, in lines 2 and 3; rename one"),
        ("variants: {doctor: {}}", "error: variants.doctor: the build itself writes to build/doctor"),
    ],
)
def test_a_wrong_sweep_is_told_and_nothing_runs(folder: Path, text: str, told: str) -> None:
    (folder / "wrong.yaml").write_text(text or "{}")
    run = snakemake(folder, "-n", "sweep", "--configfile", "wrong.yaml")
    assert run.returncode != 0
    assert told in run.stdout
    assert "Traceback" not in run.stdout
