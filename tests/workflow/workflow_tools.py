"""Copies of the project and snakemake run in them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from small_build import ROOT, SMALL_CONFIG, copy_project, environment
from started_process import run_program

__all__ = ["ROOT", "SMALL_CONFIG", "checksums", "copy_project", "environment", "snakemake"]


def checksums(root: Path) -> dict[str, str]:
    """Return the SHA-256 of what a build is for: records, models, the card folder."""
    files = [*root.glob("build/tfrec_*/*"), *root.glob("build/*/*.h5"), *root.glob("build/*/*.xmodel")]
    files += [path for path in root.glob("build/target_zcu102/**/*") if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def snakemake(folder: Path, *arguments: str, timeout: int = 500) -> subprocess.CompletedProcess[str]:
    """Run snakemake in `folder` on that folder's own sources; stderr is merged into stdout."""
    command = ["snakemake", *arguments]
    return run_program(command, "snakemake", cwd=folder, env=environment(folder), merged=True, timeout=timeout)
