"""What goes to a board: the files of a card folder with their checksums, and the model among them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.numbers import dpu
from softdpu.output import files
from softdpu.package import manifest
from softdpu.xmodel import load as xmodel

# What a card folder of another build leaves behind: the app would take such images for its own.
_REPLACED = re.compile(r"images/\d+_image\d+\.\w+|golden/(in|out)put_\d+\.bin")


@dataclass(frozen=True)
class Entry:
    """One file: where it lies on this machine, its size in bytes and its SHA-256."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Model:
    """The .xmodel of a card folder: the fingerprint of its DPU, and whether it holds that DPU's machine code."""

    path: Path
    fingerprint: int | None
    for_dpu: bool


def list_entries(folder: Path) -> dict[str, Entry]:
    """Return the files of a card folder by name, the manifest last.

    Raises:
        SoftdpuError: no card folder, or one that is not whole.
    """
    checksums = manifest.read(folder)
    if not checksums:
        raise SoftdpuError(f"{folder} is no card folder, it has no {manifest.NAME}: build it with target_<board>")
    found = {}
    for name, checksum in checksums.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise SoftdpuError(f"{path} leads out of the folder: build the folder again")
        if not path.is_file() or files.sha256(path) != checksum:
            raise SoftdpuError(f"{path} is {'damaged' if path.exists() else 'missing'}: build the folder again")
        found[name] = Entry(path, path.stat().st_size, checksum)
    path = folder / manifest.NAME
    return {**found, manifest.NAME: Entry(path, path.stat().st_size, files.sha256(path))}


def list_leftovers(names: Iterable[str], kept: Iterable[str]) -> list[str]:
    """Return those of `names` that another build's card folder put there; a user's own files are not among them."""
    return sorted(set(filter(_REPLACED.fullmatch, names)) - set(kept))


def read_model(path: Path) -> Model:
    """Return what the .xmodel at `path` was compiled for.

    Raises:
        SoftdpuError: it cannot be read, or has no DPU subgraph.
    """
    graph = xmodel.load(path)
    parts = dpu.find_dpu_subgraphs(graph, path)
    return Model(path, dpu.read_fingerprint(parts[0]), all(map(dpu.has_instructions, parts)))


def check_model(model: Model, target: str, allow_softdpu: bool) -> bool:
    """Return True for a model that runs on softdpu's runtime, on the board's Arm CPU, False for one of the DPU.

    Raises:
        SoftdpuError: a model without machine code of the DPU, unless `allow_softdpu`.
    """
    if model.for_dpu or allow_softdpu:
        return not model.for_dpu
    raise SoftdpuError(
        f"{model.path} was compiled by softdpu and holds no instructions for the DPU of {target}: compile it with AMD's"
        f" compiler (snakemake target_{target} --config toolchain=vitis-ai) and deploy again; or add"
        " allow_softdpu=true to run it on the board's Arm CPU with softdpu's runtime"
    )


def show_megabytes(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:.1f} MB"


def quote_name(name: str | os.PathLike[str]) -> str:
    """Return a file name that needs no quoting in a shell on the board.

    Raises:
        SoftdpuError: for any other name.
    """
    if not re.fullmatch(r"[\w./+-]+", os.fspath(name), re.ASCII) or os.fspath(name).startswith("-"):
        raise SoftdpuError(f"{name}: a name on the board may have letters, digits and . _ - + / only; rename it")
    return os.fspath(name)
