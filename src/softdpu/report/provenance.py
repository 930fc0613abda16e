"""What a build was made from and with: configuration, versions, revision, checksums."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from softdpu.output.files import expecting, sha256
from softdpu.output.pages import heading, listing, note, table, write_page
from softdpu.report.stages import read_json

PACKAGES = (
    "softdpu",
    "snakemake",
    "tensorflow",
    "tf-keras",
    "numpy",
    "opencv-python-headless",
    "ai-edge-litert",
    "h5py",
    "protobuf",
    "pillow",
    "matplotlib",
)


def write_provenance(path: Path, config: dict[str, Any], manifests: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Write the page.

    Args:
        path: of the page.
        config: the whole configuration, defaults filled in.
        manifests: of the records; they tell the files that the images come from.
        outputs: files of the build, whose checksums are shown.
    """
    sources = [source for manifest in manifests for source in _list_sources(manifest)]
    files = [(str(file), f"{file.stat().st_size:,}", sha256(file)) for file in outputs]
    write_page(
        path,
        "Where this build comes from",
        [
            heading("Revision"),
            table([], [*_read_revision(Path.cwd()), *_describe_machine()]),
            heading("Inputs"),
            table(["file", "bytes", "SHA-256"], sources, numbers=[1])
            if sources
            else note("The records do not tell their sources."),
            heading("Outputs"),
            table(["file", "bytes", "SHA-256"], files, numbers=[1]),
            heading("Versions"),
            table(["package", "version"], [(name, _read_version(name)) for name in PACKAGES]),
            heading("Configuration, with all defaults"),
            listing(yaml.safe_dump(config, sort_keys=True, allow_unicode=True)),
        ],
    )


def _list_sources(manifest: Path) -> list[tuple[str, str, str]]:
    found: Any = read_json(manifest).get("sources", [])
    with expecting(manifest, "the manifest of records"):
        return [(str(one["name"]), f"{one['size']:,}", str(one.get("sha256") or "not computed")) for one in found]


def _read_revision(folder: Path) -> list[tuple[str, str]]:
    """Return the revision of the project's files and whether they differ from it."""

    def git(*arguments: str) -> str | None:
        try:
            run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return run.stdout.strip() if run.returncode == 0 else None

    revision, changed = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    if revision is None:
        return [("git revision", "not in a git repository")]
    files = [line[3:] for line in (changed or "").splitlines()]
    return [("git revision", revision), ("files changed since", ", ".join(files) or "none")]


def _describe_machine() -> list[tuple[str, str]]:
    return [
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("processor", f"{_read_processor()}, {os.cpu_count()} logical cores"),
        ("Python", platform.python_version()),
    ]


def _read_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _read_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
