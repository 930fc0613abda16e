"""Writes a card folder to the root file system of a mounted SD card, and reads it back from the card to verify it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from softdpu.deploy.content import Entry, list_leftovers, show_megabytes
from softdpu.errors import SoftdpuError
from softdpu.output import files

HOME = Path("home") / "root"
_SPARE = 1 << 20  # bytes for what the file system needs itself


def find_home(card: Path) -> Path:
    """Return root's home folder on the mounted root file system `card`.

    Raises:
        SoftdpuError: nothing is mounted there, or it is no root file system of a board.
    """
    if not card.is_dir():
        raise SoftdpuError(f"no such folder: {card}; mount the card's second partition and give its path, see lsblk -f")
    if card.resolve() == Path("/"):
        raise SoftdpuError(f"{card} is this machine's own root file system; give the folder where the card is mounted")
    missing = [name for name in ("etc", "usr", str(HOME)) if not (card / name).is_dir()]
    if missing:
        raise SoftdpuError(
            f"{card} is not the root file system of AMD's SD-card image: it has no {missing[0]}/; the card's second"
            " partition (ROOTFS) is meant, not BOOT"
        )
    return card / HOME


def write(contents: Mapping[str, Entry], folder: Path) -> int:
    """Bring `contents` into `folder` in root's home on the card: write what differs, remove what another build left.

    Returns:
        the number of files that were written.

    Raises:
        SoftdpuError: no room, no permission, or the card does not give back what was written.
    """
    changed = {name: entry for name, entry in contents.items() if not _is_same(folder / name, entry)}
    needed, free = sum(entry.size for entry in changed.values()), shutil.disk_usage(folder.parent).free
    if changed and needed + _SPARE > free:
        raise SoftdpuError(
            f"{folder} has no room: {show_megabytes(needed + _SPARE)} are needed and {show_megabytes(free)} free;"
            " delete something on the card, or package fewer images (package.images)"
        )
    try:
        for name, entry in changed.items():
            with files.whole_file(folder / name) as part:
                shutil.copyfile(entry.path, part)
                _forget(part)
        _remove_leftovers(contents, folder)
    except PermissionError as error:
        raise SoftdpuError(
            f"you may not write {error.filename}: run scripts/sdcard.py as root, docs/board.md has the command line"
        ) from None
    except OSError as error:
        raise SoftdpuError(f"cannot write {folder}: {error.strerror or error}") from None
    damaged = verify(contents, folder)
    if damaged:
        raise SoftdpuError(
            f"{len(damaged)} files read back from {folder} are damaged, {damaged[0]} first: write them again; if it"
            " stays so, take another card"
        )
    return len(changed)


def verify(contents: Mapping[str, Entry], folder: Path) -> list[str]:
    """Return the names of the files that are missing in `folder` or differ from their checksum."""
    return [name for name, entry in contents.items() if not _is_same(folder / name, entry)]


def _is_same(path: Path, entry: Entry) -> bool:
    try:
        return path.stat().st_size == entry.size and files.sha256(path) == entry.sha256
    except OSError:
        return False


def _forget(path: Path) -> None:
    """Write a file to the card for good, and have it read from there, not from memory, the next time."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _remove_leftovers(contents: Mapping[str, Entry], folder: Path) -> None:
    there = [path.relative_to(folder).as_posix() for part in ("images", "golden") for path in (folder / part).glob("*")]
    for name in list_leftovers(there, contents):
        (folder / name).unlink()
