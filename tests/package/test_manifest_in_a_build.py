"""The recipe by which a Snakemake build notices an image that was deleted from a card folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softdpu.errors import SoftdpuError
from softdpu.package import manifest

SNAKEFILE = """
from pathlib import Path
from softdpu.package import manifest

TARGETS = ["a", "b"]
CARD = [f"build/target_{{target}}/{name}" for name in ("app_mt.py", manifest.NAME)]
FOLDERS = [Path("build", f"target_{name}") for name in TARGETS]
GONE = [f"build/target_{{target}}/{name}" for name in manifest.find_missing_images(FOLDERS, config["images"])]


rule all:
    input:
        expand(CARD + GONE + ["build/run_{target}.json"], target=TARGETS),


rule package:
    output:
        CARD,
        GONE,
    params:
        images=config["images"],
    shell:
        "python make.py build/target_{wildcards.target} {params.images}"


rule run:
    input:
        CARD,
    output:
        "build/run_{target}.json",
    shell:
        "ls build/target_{wildcards.target}/images > {output}"
"""
MAKE = """
import sys
from pathlib import Path
from softdpu.package import manifest

folder, images = Path(sys.argv[1]), int(sys.argv[2])
(folder / "images").mkdir(parents=True, exist_ok=True)
for path in (folder / "images").iterdir():
    path.unlink()
for i in range(images):
    (folder / "images" / f"{i % 3}_image{i}.png").write_text(str(i))
(folder / "app_mt.py").write_text("app")
manifest.write(folder)
"""


@pytest.fixture
def snakemake(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "make.py").write_text(MAKE)

    def run(*arguments, images=4):
        command = [sys.executable, "-m", "snakemake", "-c1", *arguments, "--config", f"images={images}"]
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        lines = (done.stdout + done.stderr).splitlines()
        rules = [line.split()[1].rstrip(":") for line in lines if line.startswith(("rule ", "localrule "))]
        targets = {line.split("target=")[1] for line in lines if "wildcards: target=" in line}
        return sorted(set(rules) - {"all"}), sorted(targets)

    return run


def test_a_deleted_file_is_made_again_and_nothing_else(snakemake, tmp_path):
    nothing = ([], [])
    assert snakemake() == (["package", "run"], ["a", "b"])
    assert snakemake("-n") == nothing

    (tmp_path / "build/target_a/images/2_image2.png").unlink()
    assert snakemake("-n") == (["package", "run"], ["a"])
    assert snakemake() == (["package", "run"], ["a"])
    assert manifest.find_missing(tmp_path / "build/target_a") == []
    assert snakemake("-n") == nothing

    (tmp_path / "build/target_b/app_mt.py").unlink()
    assert snakemake() == (["package", "run"], ["b"])

    (tmp_path / "build/target_b/images/0_image3.png").unlink()  # and is not wanted any more
    assert snakemake(images=3) == (["package", "run"], ["a", "b"])
    assert snakemake("-n", images=3) == nothing


def test_missing_names_images_below_the_count(tmp_path):
    for name in ("images/7_image1.png", "images/7_image12.png", "golden/golden.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    manifest.write(tmp_path)
    assert manifest.find_missing_images([tmp_path, tmp_path / "not built"], 100) == []
    for path in [*tmp_path.glob("*/*")]:
        path.unlink()
    assert manifest.find_missing(tmp_path) == ["golden/golden.json", "images/7_image1.png", "images/7_image12.png"]
    assert manifest.find_missing_images([tmp_path], 100) == ["images/7_image1.png", "images/7_image12.png"]
    assert manifest.find_missing_images([tmp_path], 12) == ["images/7_image1.png"]


def test_a_damaged_manifest_is_told(tmp_path):
    (tmp_path / manifest.NAME).write_text("what is this\n")
    with pytest.raises(SoftdpuError, match=r"MANIFEST.sha256: expected lines"):
        manifest.read(tmp_path)
