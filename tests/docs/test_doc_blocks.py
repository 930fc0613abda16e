"""Every block of commands in README.md and docs/ runs as it is written, in one copy of the project with little data.

A comment right above a block says what it needs that no test has: `<!-- needs a board -->`, ... Then its snakemake and
make commands are only planned, with -n, and the others are read by the shell without running them. Python blocks run
too, unless the comment says `<!-- an excerpt -->`. Output stands in blocks of the language text.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from doc_blocks import ROOT, Block, blocks

BLOCKS = blocks()
RUN = [block for block in BLOCKS if block.language == "sh" or (block.language == "python" and not block.marker)]
MODEL = """
import os
os.environ["TF_USE_LEGACY_KERAS"] = "0"
import keras
from keras import layers
image = keras.Input((32, 32, 3))
x = layers.Conv2D(8, 3, strides=2, activation="relu")(layers.Rescaling(1 / 255)(image))
x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", activation="relu")(x)])
keras.Model(image, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))).save("my_model.keras")
"""


def listed() -> list[str]:
    """Return the files of the project as git knows them, those that are not committed yet as well."""
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def clone(original_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small build, which README's first command made, and what else the pages take for granted."""
    folder = shutil.copytree(original_build, tmp_path_factory.mktemp("docs") / "softdpu", symlinks=True)
    for name in listed():
        if not name.startswith("tests/") and not (folder / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "tests").mkdir()
    random = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 10)):
        for label, name in enumerate(("blue", "green", "red")):
            (folder / "my_images" / split / name).mkdir(parents=True)
            for i in range(count):
                image = random.integers(0, 160, (40, 48, 3), np.uint8)
                image[:, :, label] += 60
                cv2.imwrite(str(folder / "my_images" / split / name / f"{i}.png"), image)
    subprocess.run([sys.executable, "-c", MODEL], cwd=folder, env=environment(folder), check=True, capture_output=True)
    (folder / "stubs").mkdir()  # Snakemake asks for Apptainer's version even when it only plans
    (folder / "stubs/apptainer").write_text("#!/bin/sh\necho apptainer version 1.3.0\n")
    (folder / "stubs/apptainer").chmod(0o755)
    for name in ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"):
        (folder / name).touch()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a shell in which the project's environment is active."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{folder / 'stubs'}"
    quiet = {"USER": "me", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "JOBS": "2"}
    return {**os.environ, **quiet, "PYTHONPATH": str(folder / "src"), "PATH": path}


def shell(command: str, folder: Path, *options: str) -> None:
    """Run a command line; it must succeed, without a traceback."""
    run = subprocess.run(
        ["bash", "-euo", "pipefail", *options, "-c", command],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=580,
    )
    assert run.returncode == 0, f"$ {command}\n{run.stdout[-4000:]}"
    assert "Traceback (most recent call last)" not in run.stdout


def plan(command: str, folder: Path) -> None:
    """Plan a command without running it; what is no build is only read by the shell."""
    shell(command, folder, "-n")
    profile = re.search(r"--(?:profile|workflow-profile) \S*slurm", command)
    if profile and not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return
    words = re.sub(r"\s#.*$", "", command)
    if " --report " in words:  # Snakemake draws it from what is built, with or without -n
        return
    if words.startswith("snakemake ") or words.startswith("make "):
        shell(f"{words} -n", folder)


def name_of(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.mark.slow
@pytest.mark.parametrize("block", RUN, ids=map(name_of, RUN))
def test_a_block_runs_as_written(block: Block, clone: Path) -> None:
    if block.language == "python":
        shell(f"python - <<'END'\n{block.text}END\n", clone)
    elif block.needs:
        for command in block.commands():
            plan(command, clone)
    else:
        shell(block.text, clone)


def test_every_block_says_what_it_is() -> None:
    wrong = [
        name_of(block) for block in BLOCKS if block.language not in ("sh", "text", "python", "yaml", "json", "css")
    ]
    assert not wrong, f"blocks without one of the languages sh, text, python, yaml, json: {wrong}"
    odd = [
        name_of(b)
        for b in BLOCKS
        if b.marker and not re.match(r"needs (a |an |AMD|ImageNet|time|the )|an excerpt", b.marker)
    ]
    assert not odd, f"comments above blocks that are no marker: {odd}"


def test_yaml_blocks_are_configurations() -> None:
    """What a page shows for config.yaml is taken by the schema."""
    from softdpu.build import config

    for block in BLOCKS:
        if block.language == "yaml" and "an excerpt" not in block.marker:
            values = yaml.safe_load(block.text)
            values.get("model", {}).pop("file", None)
            config.check(values, ROOT / "schemas/config.schema.yaml")


def test_pages_that_are_named_exist() -> None:
    missing = []
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for name in re.findall(r"(?<![\w/])docs/([\w-]+\.md)", page.read_text(encoding="utf-8")):
            if not (ROOT / "docs" / name).exists():
                missing.append(f"{page.name}: docs/{name}")
    assert not missing, missing
