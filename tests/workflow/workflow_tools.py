"""Copies of the project and snakemake run in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SMALL_CONFIG = """\
dataset: {train_images: 640, val_images: 200, train_shards: 2, val_shards: 1}
model: {input_size: 32}
train: {epochs: 1, batch_size: 64}
quantize: {calib_images: 32}
finetune: {epochs: 1, batch_size: 64}
package: {images: 40, golden: 2}
"""


def copy_project(folder: Path) -> Path:
    """Copy the project's files, without what was built, to `folder`, with a configuration of few images."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(SMALL_CONFIG)
    shutil.copy2(ROOT / "Snakefile", folder / "Snakefile")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("rules", "schemas", "scripts", "envs", "profiles", "report", "target_src", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    return folder


def checksums(root: Path) -> dict[str, str]:
    """Return the SHA-256 of what a build is for: records, models, the card folder."""
    files = [*root.glob("build/tfrec_*/*"), *root.glob("build/*/*.h5"), *root.glob("build/*/*.xmodel")]
    files += [path for path in root.glob("build/target_zcu102/**/*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which a copy of the project uses its own sources."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "PATH": path}


def snakemake(folder: Path, *arguments: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
    """Run snakemake in `folder` on that folder's own sources; stderr is merged into stdout."""
    return subprocess.run(
        ["snakemake", *arguments],
        cwd=folder,
        env=environment(folder),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
