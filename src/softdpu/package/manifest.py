"""What a card folder holds, and MANIFEST.sha256: its checksums in the form that `sha256sum -c` reads.

The manifest is written last, so a folder that has it is whole, and it tells a build that a file was deleted later.
This module is read when a build is planned, so it imports next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.tasks import TASKS

NAME = "MANIFEST.sha256"
MODEL = "mobilenet.xmodel"
HELPERS = ("card.py", "checking.py", "runners.py")  # what every app imports
LABELS, PREPROCESS, README = "labels.txt", "preprocess.json", "README.txt"
MORE = ("arrays.py", "decoders.py", "own_decoder.py")  # programs that some tasks have beside their app
RANDOM_VECTORS = 2  # golden vectors that no image gave


def list_fixed(golden_images: int, app: str, more: Iterable[str] = ()) -> list[str]:
    """Return the names of the files that every card folder has: all but the images, whose names hold their labels.

    Args:
        golden_images: images with golden vectors.
        app: the name of its app.
        more: what the task has beside it (tasks.Task.helpers).
    """
    vectors = range(golden_images + RANDOM_VECTORS)
    golden = ["golden/golden.json", *(f"golden/{kind}_{i}.bin" for i in vectors for kind in ("input", "output"))]
    return [app, *HELPERS, *more, MODEL, LABELS, PREPROCESS, README, NAME, *golden]


def write(folder: Path) -> None:
    """Write the manifest of all files in `folder` and its folders, sorted by name."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{files.sha256(folder / name)}  {name}\n" for name in names if name != NAME]
    files.write_text(folder / NAME, "".join(lines))


def read(folder: Path) -> dict[str, str]:
    """Return the checksums by file name, {} for a folder without a manifest.

    Raises:
        SoftdpuError: if the file is not in the form of sha256sum, or names a file outside the folder.
    """
    path = folder / NAME
    if not path.is_file():
        return {}
    checksums = {}
    for line in path.read_bytes().decode("utf-8", "backslashreplace").split("\n"):
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if line and not match:
            raise SoftdpuError(f"{path}: expected lines '<sha256>  <name>', got '{line[:80]}'; make the folder again")
        if match:
            if not _is_inside(match[2]):
                raise SoftdpuError(f"{path} names '{match[2][:80]}', no file of the folder; make the folder again")
            checksums[match[2]] = match[1]
    return checksums


def _is_inside(name: str) -> bool:
    """Tell whether `name` is one of a file below a folder, as a build writes it."""
    parts = name.split("/")
    return name.isprintable() and len(name) < 1000 and not {"", ".", ".."} & set(parts)


def find_app(folder: Path) -> str:
    """Return the name of the app in a card folder: that of a task, else its one program that is no helper.

    Raises:
        SoftdpuError: if there is none, or more than one.
    """
    programs = [path.name for path in sorted(folder.glob("*.py")) if path.name not in HELPERS + MORE]
    known = [name for name in programs if name in {task.app for task in TASKS.values()}]
    programs = known or programs
    if len(programs) != 1:
        raise SoftdpuError(f"{folder} is no card folder with one app, it has {len(programs)}; make the folder again")
    return programs[0]


def find_missing(folder: Path) -> list[str]:
    """Return the names of the files that the manifest lists and that are gone; [] without a manifest."""
    return [name for name in read(folder) if not (folder / name).is_file()]


def find_missing_images(folders: Iterable[Path], images: int) -> list[str]:
    """Return the sorted names, images/<label>_image<i>.<ext>, of images that are gone from one of the card folders.

    A build's rules cannot list the images, because their names hold labels that are known only when they are written.
    What they can list, when a build is planned, is those that were there and are gone.

    Args:
        folders: card folders of one build.
        images: how many a card is to have; an image with a higher number is not missed.
    """
    names = {name for folder in folders for name in find_missing(folder)}
    matches = [re.fullmatch(r"images/(?:\d+_)?image(\d+)\.\w+", name) for name in sorted(names)]
    return [match[0] for match in matches if match and int(match[1]) < images]
