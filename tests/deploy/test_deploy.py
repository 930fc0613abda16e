"""A card folder goes to a board: a real ssh server, a real rsync, and what a user sees when something is wrong."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from board_server import Server, command, free_port
from script_tools import SCRIPTS, error, script


def deploy(board: Server, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return script("deploy.py", "--folder", folder, "--target", "zcu102", *board.arguments(), *words)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what changes when a file is written: inode and time."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["rsync", "ssh"])
def either(request, server):
    """A board with rsync, and one without."""
    server.means = request.param
    if request.param == "ssh":
        server.have_no_rsync()
    with server.running():
        yield server


def test_copies_what_changed_and_nothing_else(either, cards, tmp_path):
    folder, there = tmp_path / "target_zcu102", either.home / "target_zcu102"
    shutil.copytree(cards / "amd" / "target_zcu102", folder)
    first = deploy(either, folder)
    assert first.returncode == 0, first.stderr
    assert contents(there) == contents(folder)
    assert f": {len(contents(folder))} copied with {either.means}" in first.stdout
    assert "3 DPU cores: DPUCZDX8G_ISA1_B4096 (0x101000056010407)" in first.stdout

    before = times(there)
    second = deploy(either, folder)
    assert second.returncode == 0, second.stderr
    assert f": 0 copied with {either.means} (0.0 MB)" in second.stdout
    assert times(there) == before

    # Another build: one image changed, one gone. What the user has there stays.
    (there / "mine.txt").write_text("mine")
    (there / "images" / "3_image3.png").rename(there / "images" / "3_image99.png")
    changed = folder / "images" / "0_image0.png"
    changed.write_bytes((folder / "images" / "1_image1.png").read_bytes())
    subprocess.run(
        "find . -type f ! -name MANIFEST.sha256 -printf '%P\\n' | sort | xargs sha256sum >MANIFEST.sha256",
        shell=True, check=True, cwd=folder,
    )  # fmt: skip
    third = deploy(either, folder)
    assert third.returncode == 0, third.stderr
    assert ": 3 copied" in third.stdout  # the image, the image that was missing, the manifest
    assert contents(there) == {**contents(folder), "mine.txt": b"mine"}


def test_damage_on_the_board_is_repaired(board, cards):
    folder, there = cards / "amd" / "target_zcu102", board.home / "target_zcu102"
    deploy(board, folder)
    file = there / "mobilenet.xmodel"
    status = file.stat()
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # same size, same time
    assert ": 1 copied" in deploy(board, folder).stdout
    assert contents(there) == contents(folder)


# ---- interrupted

# Passes bytes between ssh and the board until `limit` went there, then stops passing or closes.
PROXY = """\
import os, select, socket, sys, time
port, limit, then = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
board = socket.create_connection(("127.0.0.1", port))
sent = 0
while sent < limit:
    ready = select.select([0, board], [], [])[0]
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            break
        board.sendall(data)
        sent += len(data)
    if board in ready:
        data = board.recv(65536)
        if not data:
            break
        os.write(1, data)
if then == "stall":
    open(sys.argv[4], "w").close()
    time.sleep(1000)
"""


def half_way(board: Server, tmp_path: Path, then: str) -> list[str]:
    """Return ssh options for a connection on which about half of the large file passes."""
    (tmp_path / "proxy.py").write_text(PROXY)
    words = (sys.executable, tmp_path / "proxy.py", board.port, 3500000, then, tmp_path / "stalled")
    return [f"ProxyCommand={shlex.join(map(str, words))}"]


def parts(folder: Path) -> int:
    """Return the bytes of files that arrived in part, after waiting until the board has put them aside."""
    deadline = time.time() + 20
    while time.time() < deadline:
        found = [p for p in folder.rglob("*") if p.is_file() and ".part" in str(p.relative_to(folder))]
        settled = not list(folder.glob(".big.bin.*"))
        if found and settled:
            time.sleep(0.1)
            return sum(path.stat().st_size for path in found)
        time.sleep(0.02)
    raise AssertionError("nothing arrived in part")


def test_goes_on_after_it_was_killed_in_the_middle_of_a_file(either, cards, tmp_path):
    folder, there = cards / "big" / "target_zcu102", either.home / "target_zcu102"
    words = ["--folder", folder, "--target", "zcu102", *either.arguments(), *half_way(either, tmp_path, "stall")]
    temporary = tempfile.mkdtemp(dir="/tmp")  # what a killed program leaves behind
    process = subprocess.Popen(
        [sys.executable, str(SCRIPTS / "deploy.py"), *map(str, words)],
        env={**os.environ, "TMPDIR": temporary}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.time() + 30
    while not (tmp_path / "stalled").exists():
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    shutil.rmtree(temporary)
    assert not (there / "big.bin").exists()
    arrived = parts(there)
    assert 1_000_000 < arrived < 4_000_000

    done = deploy(either, folder)
    assert done.returncode == 0, done.stderr
    assert contents(there) == contents(folder)
    there_before = float(done.stdout.split(" MB had arrived before")[0].rpartition(" ")[2])
    assert there_before > 0.9 * arrived / 1e6


def test_a_broken_connection_is_told_and_the_next_copy_goes_on(either, cards, tmp_path):
    folder, there = cards / "big" / "target_zcu102", either.home / "target_zcu102"
    options = half_way(either, tmp_path, "close")
    told = error(script("deploy.py", "--folder", folder, "--target", "zcu102", *either.arguments(), *options))
    assert "broke while copying" in told and "deploy again, it goes on where it stopped" in told
    parts(there)
    done = deploy(either, folder)
    assert done.returncode == 0 and "had arrived before" in done.stdout
    assert contents(there) == contents(folder)


# ---- what may not go to a DPU


def test_a_model_of_softdpu_is_not_sent(cards, tmp_path):
    board = Server(tmp_path / "off")  # not even asked for
    told = error(deploy(board, cards / "ours" / "target_zcu102"))
    assert "compiled by softdpu and holds no instructions for the DPU of zcu102" in told
    assert "snakemake target_zcu102 --config toolchain=vitis-ai" in told and "allow_softdpu=true" in told


@pytest.mark.parametrize("damage, message", [("missing", "is missing"), ("changed", "is damaged")])
def test_a_folder_that_is_not_whole_is_not_sent(cards, tmp_path, damage, message):
    folder = tmp_path / "target_zcu102"
    shutil.copytree(cards / "amd" / "target_zcu102", folder)
    if damage == "missing":
        (folder / "app_mt.py").unlink()
    else:
        (folder / "app_mt.py").write_text("print()")
    assert f"app_mt.py {message}: build the folder again" in error(deploy(Server(tmp_path / "off"), folder))


def test_no_folder(tmp_path):
    assert "is no card folder, it has no MANIFEST.sha256" in error(deploy(Server(tmp_path / "off"), tmp_path))


def test_another_dpu_is_told_and_copied_all_the_same(board, cards):
    board.have_dpu("2.5")
    done = deploy(board, cards / "amd" / "target_zcu102")
    assert done.returncode == 0
    assert "warning: the model is for the DPU DPUCZDX8G_ISA1_B4096 (0x101000056010407" in done.stderr
    assert (board.home / "target_zcu102" / "MANIFEST.sha256").exists()


# ---- no connection: one line each, soon


def test_a_key_that_the_board_does_not_know(board, cards):
    board.log_in_with("stranger")
    told = error(deploy(board, cards / "amd" / "target_zcu102"))
    assert f"{board.address} does not let you in: wrong user, key or password" in told and "ssh-copy-id" in told


def test_a_host_key_that_changed(board, cards):
    board.know("stranger")
    told = error(deploy(board, cards / "amd" / "target_zcu102"))
    assert "the host key of 127.0.0.1 is not the one that this machine knows" in told and "ssh-keygen -R" in told


def test_a_host_key_that_nobody_knows(board, cards):
    (board.folder / "known_hosts").unlink()
    assert "the host key of 127.0.0.1 is not known here yet" in error(deploy(board, cards / "amd" / "target_zcu102"))


def test_nobody_listens(server, cards):
    told = error(deploy(server, cards / "amd" / "target_zcu102"))
    assert "127.0.0.1 refuses the connection: it is on, but no ssh server listens there" in told


def test_a_silent_host_is_given_up_soon(cards, tmp_path):
    import socket

    board = Server(tmp_path / "off")
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        board.port = silent.getsockname()[1]
        board.options.append("ConnectTimeout=1")
        start = time.time()
        told = error(deploy(board, cards / "amd" / "target_zcu102"))
        assert time.time() - start < 10
    assert "127.0.0.1 does not answer" in told


def test_a_secret_is_asked_for_once(board, cards, monkeypatch):
    """One session for all commands: a key with a passphrase, and a program that is asked for it instead of a user."""
    key = board.folder / "user"
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "a secret", "-f", str(key)], check=True)
    command(board.folder / "ask", f"#!/bin/sh\necho asked >>{board.folder / 'asked'}\necho a secret\n")
    board.options.remove("BatchMode=yes")
    monkeypatch.setenv("SSH_ASKPASS", str(board.folder / "ask"))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    done = deploy(board, cards / "amd" / "target_zcu102")
    assert done.returncode == 0, done.stderr
    assert (board.folder / "asked").read_text() == "asked\n"


@pytest.mark.parametrize(
    "address, message",
    [
        ("root@nowhere.invalid", "no machine is called nowhere.invalid"),
        ("-oProxyCommand=true", "argument --board: expected one argument"),
        ("root@ 1.2.3.4", "expected a board as user@host"),
        ("root@-v", "expected a board as user@host"),
    ],
)
def test_addresses(cards, address, message):
    done = script("deploy.py", "--folder", cards / "amd" / "target_zcu102", "--target", "zcu102", "--board", address)
    assert done.returncode in (1, 2) and message in done.stderr


def test_an_ssh_option_that_does_not_exist(cards, tmp_path):
    board = Server(tmp_path / "off")
    board.options.append("NoSuchOption=1")
    assert "ssh does not accept its options" in error(deploy(board, cards / "amd" / "target_zcu102"))


# ---- no room, no permission


def test_a_full_disk(either, cards, tmp_path):
    there = either.home / "target_zcu102"
    there.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(there)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        told = error(deploy(either, cards / "big" / "target_zcu102"))
    finally:
        subprocess.run(["umount", str(there)], check=True)
    assert "the disk of" in told and "is full: the folder needs 6.0 MB, 0." in told.replace("6.1 MB", "6.0 MB")


def test_a_folder_of_another_user(cards, tmp_path, pythons):
    root = os.getuid() == 0
    if root and not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv to take that away")
    board = Server(tmp_path / "board", without_override=root)
    board.have_python(pythons / "amd")
    if root:
        (board.home / "target_zcu102").mkdir()
        os.chown(board.home / "target_zcu102", 12345, 12345)
        words, owner = [], "12345"
    else:
        words, owner = ["--board-folder", "/usr/target_zcu102"], "root"
    with board.running():
        told = error(deploy(board, cards / "amd" / "target_zcu102", *words))
    assert f"it belongs to {owner}, and you are" in told and "deploy.folder" in told
