"""Copies files to a board: only those whose content differs, going on where an interrupted copy stopped, verified.

rsync does it where the board has one. AMD's images often have none; then the same goes through the ssh session with
what every board has: sha256sum tells which files differ, tar takes the small ones, and a large one is appended to what
arrived of it before.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from softdpu.deploy.connection import MOST, Connection, collect, last_line
from softdpu.deploy.content import Entry, list_leftovers, quote_name, show_megabytes
from softdpu.errors import SoftdpuError
from softdpu.output.text import one_line

LARGE = 1 << 20  # bytes from which on a file that arrived in part is continued


@dataclass(frozen=True)
class Copied:
    """What a copy did: files in all, files and bytes sent, bytes that had arrived before, seconds, by what means."""

    files: int
    sent: int
    sent_bytes: int
    resumed_bytes: int
    seconds: float
    means: str

    def text(self) -> str:
        """Return the line for people."""
        there = f", {show_megabytes(self.resumed_bytes)} had arrived before" if self.resumed_bytes else ""
        return (
            f"{self.files} files: {self.sent} copied with {self.means} ({show_megabytes(self.sent_bytes)}{there})"
            f" in {self.seconds:.1f} s, {self.files - self.sent} were there"
        )


def copy(connection: Connection, contents: Mapping[str, Entry], folder: str, rsync: bool) -> Copied:
    """Bring `contents` into `folder` of a board, remove what another build left there, and verify every checksum.

    Args:
        connection: to the board.
        contents: by name in the folder.
        folder: on the board, relative to the login's home folder or absolute.
        rsync: the board has rsync; it is used if this machine has it too.

    Raises:
        SoftdpuError: no room, no permission, a broken connection, or files that are damaged after the copy.
    """
    start = time.time()
    _make_folder(connection, folder)
    if rsync and _has_rsync():
        sent, sent_bytes, resumed = _rsync(connection, contents, folder)
        means = "rsync"
    else:
        sent, sent_bytes, resumed = _stream(connection, contents, folder)
        means = "ssh"
    _remove_leftovers(connection, contents, folder)
    damaged = _list_different(connection, contents, folder)
    if damaged:
        raise SoftdpuError(
            f"{len(damaged)} files on {connection.address} are damaged after the copy, {damaged[0]} first: deploy"
            " again; if it stays so, the SD card is worn out"
        )
    return Copied(len(contents), sent, sent_bytes, resumed, time.time() - start, means)


def _make_folder(connection: Connection, folder: str) -> None:
    place = shlex.quote(quote_name(folder))
    done = connection.run(f"mkdir -p {place} && cd {place} && test -w .")
    if done.returncode:
        raise SoftdpuError(_explain_folder(connection, folder, done.stderr))


def _explain_folder(connection: Connection, folder: str, reply: str) -> str:
    """Return why `folder` of the board cannot be written."""
    if "No space left" in reply:
        return _full(connection, folder, 0)
    place = shlex.quote(folder)
    asked = connection.run(f'id -un; ls -ld {place} || ls -ld "$(dirname {place})"').stdout.splitlines()
    words = [one_line(line, 200).split() for line in asked[:2]]
    user = words[0][0] if words and words[0] else "you"
    owner = words[1][2] if len(words) > 1 and len(words[1]) > 2 else "another user"
    reason = f"it belongs to {owner}, and you are {user}" if owner != user else last_line(reply) or "no permission"
    return (
        f"{connection.address} does not let you write the folder {folder}: {reason}; log in as its owner, give the"
        " folder away there (chown), or name another with deploy.folder"
    )


def _full(connection: Connection, folder: str, needed: int) -> str:
    place = shlex.quote(folder)
    reply = connection.run(f'df -Pk {place} || df -Pk "$(dirname {place})"').stdout
    free_blocks = re.search(r"^[^\n]*\n\S+ +\d+ +\d+ +(\d{1,15}) ", reply, re.A)
    free = f", {show_megabytes(1024 * int(free_blocks[1]))} are free" if free_blocks else ""
    wanted = f": the folder needs {show_megabytes(needed)}{free}" if needed else free
    return f"the disk of {connection.address} is full{wanted}; delete something there, and deploy again"


def _has_rsync() -> bool:
    try:
        return subprocess.run(["rsync", "--version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _rsync(connection: Connection, contents: Mapping[str, Entry], folder: str) -> tuple[int, int, int]:
    """Return files sent, bytes sent and bytes that were there, by rsync, called for each folder on this machine."""
    user, at, host = connection.address.rpartition("@")
    place = f"{user}{at}{f'[{host}]' if ':' in host else host}:{folder}/"
    command = ["rsync", "-rc", "--partial-dir=.part", "--files-from=-", "--stats", "--no-human-readable"]
    command += ["-e", connection.remote_shell]
    totals = [0, 0, 0]
    roots: dict[Path, list[str]] = {}
    for name, entry in contents.items():
        roots.setdefault(entry.path.parents[name.count("/")], []).append(name)
    for root, names in roots.items():
        line = [*command, f"{root}/", place]
        done = collect(line, "\n".join(names), connection.address, env={**os.environ, "LC_ALL": "C"})
        if done.returncode:
            raise SoftdpuError(_explain_failure(connection, contents, folder, done.stderr))
        labels = ("Number of regular files transferred", "Literal data", "Matched data")
        for i, label in enumerate(labels):
            match = re.search(rf"^{label}: (\d[\d,.]{{0,30}})", done.stdout, re.M | re.A)
            totals[i] += int(re.sub(r"\D", "", match[1])) if match else 0
    return totals[0], totals[1], totals[2]


def _explain_failure(connection: Connection, contents: Mapping[str, Entry], folder: str, reply: str) -> str:
    """Return in one line why a copy failed, from what the tools said."""
    if "No space left" in reply:
        return _full(connection, folder, sum(entry.size for entry in contents.values()))
    if "Permission denied" in reply or "Read-only file system" in reply or "Operation not permitted" in reply:
        return _explain_folder(connection, folder, reply)
    if re.search(r"connection (unexpectedly )?closed|Broken pipe|closed by remote|code 255|not responding", reply):
        lines = [line for line in reply.splitlines() if "rsync" not in line and line.strip()]
        reason = one_line(lines[0], 300) if lines else "it was closed"
        return (
            f"the connection to {connection.address} broke while copying ({reason}): deploy again, it goes on"
            " where it stopped"
        )
    return f"copying to {connection.address} failed: {last_line(reply)}"


def _stream(connection: Connection, contents: Mapping[str, Entry], folder: str) -> tuple[int, int, int]:
    """Return files sent, bytes sent and bytes that were there, through plain ssh."""
    different = {name: contents[name] for name in _list_different(connection, contents, folder)}
    resumed = 0
    small = {name: entry for name, entry in different.items() if entry.size < LARGE}
    if small:
        _send_small(connection, contents, small, folder)
    for name in different:
        if name not in small:
            resumed += _send_large(connection, contents, name, folder)
    return len(different), sum(entry.size for entry in different.values()) - resumed, resumed


def _list_different(connection: Connection, contents: Mapping[str, Entry], folder: str) -> list[str]:
    """Return the names whose file on the board is missing or has another content."""
    names = "\n".join(quote_name(name) for name in contents) + "\n"
    done = connection.run(f"cd {shlex.quote(folder)} && xargs sha256sum 2>/dev/null; true", names)
    there = dict(line.split(maxsplit=1)[::-1] for line in done.stdout.splitlines() if len(line.split()) == 2)
    return [name for name, entry in contents.items() if there.get(name) != entry.sha256]


def _send_small(
    connection: Connection, contents: Mapping[str, Entry], chosen: Mapping[str, Entry], folder: str
) -> None:
    process = connection.start(f"tar -xof - -C {shlex.quote(folder)}", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    try:
        with process.stdin, tarfile.open(fileobj=process.stdin, mode="w|") as archive:
            for name, entry in chosen.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode, member.mtime = entry.size, 0o644, int(entry.path.stat().st_mtime)
                with open(entry.path, "rb") as file:
                    archive.addfile(member, file)
    except OSError:
        pass  # the other end closed: its exit code and its last words tell why
    _finish(connection, contents, folder, process)


def _send_large(connection: Connection, contents: Mapping[str, Entry], name: str, folder: str) -> int:
    """Send a file, from where an earlier attempt stopped, and return how many bytes were there."""
    entry = contents[name]
    part = f".part-{entry.sha256[:16]}"
    reply = connection.run(f"cd {shlex.quote(folder)} && test -f {part} && wc -c <{part}").stdout.strip()
    there = int(reply) if re.fullmatch(r"[0-9]{1,18}", reply) and int(reply) <= entry.size else 0
    into = f"cat {'>>' if there else '>'}{part}"
    parent = os.path.dirname(name) or "."
    command = f"cd {shlex.quote(folder)} && {into} && mkdir -p {parent}"
    command += f' && test "$(wc -c <{part})" -eq {entry.size} && mv {part} {name}'
    with open(entry.path, "rb") as file:
        file.seek(there)
        os.lseek(file.fileno(), there, os.SEEK_SET)
        _finish(connection, contents, folder, connection.start(command, stdin=file, stderr=subprocess.PIPE))
    return there


def _finish(
    connection: Connection, contents: Mapping[str, Entry], folder: str, process: subprocess.Popen[bytes]
) -> None:
    stderr: IO[bytes] | None = process.stderr
    reply = stderr.read(MOST).decode(errors="replace") if stderr else ""
    if len(reply) >= MOST:
        process.kill()
    code = process.wait()
    if stderr:
        stderr.close()
    if code:
        raise SoftdpuError(
            _explain_failure(connection, contents, folder, reply if code != 255 else f"{reply}\ncode 255")
        )


def _remove_leftovers(connection: Connection, contents: Mapping[str, Entry], folder: str) -> None:
    place = shlex.quote(folder)
    found = connection.run(f"cd {place} && rm -f .part-* && find images golden -type f 2>/dev/null; true").stdout
    names = list_leftovers(found.splitlines(), contents)
    if names:
        connection.run(f"cd {place} && xargs rm -f", "\n".join(names) + "\n")
