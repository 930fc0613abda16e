"""One ssh session with a board, which every later command shares: a password is asked for once.

Keys, agents, password prompts, host keys and ~/.ssh/config are ssh's own business; nothing is stored here.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from softdpu.errors import SoftdpuError
from softdpu.output.text import one_line

# What a board may take and say before it is given up; a checksum of a full SD card takes minutes.
PATIENCE = 1800.0  # seconds
MOST = 16 << 20  # bytes of one answer
MOST_LINES, LONGEST_LINE = 2000, 4096  # of what a login prints
_READY = b"softdpu: connected\n"
# Used where neither the caller nor ~/.ssh/config says otherwise: a dead board is noticed after 10 s, a cable that was
# pulled after a minute.
_DEFAULTS = {"connecttimeout": ("none", "10"), "serveraliveinterval": ("0", "15"), "serveralivecountmax": ("3", "4")}


class Connection:
    """A context manager that connects on entry and hangs up on exit, also when this program is killed."""

    def __init__(self, address: str, port: int | None = None, options: Sequence[str] = ()) -> None:
        """Prepare a connection.

        Args:
            address: user@host or a Host of ~/.ssh/config.
            port: of the ssh server; None leaves it to ssh.
            options: as for ssh -o, such as IdentityFile=~/.ssh/board.
        """
        if not re.fullmatch(r"[^\s@-][^\s@]*(@[^\s@-][^\s@]*)?", address):
            raise SoftdpuError(f"expected a board as user@host, such as root@192.168.1.10, got '{address}'")
        self.address = address
        self._ssh = ["ssh", *(["-p", str(port)] if port else [])]
        self._ssh += [word for option in options for word in ("-o", option)]

    def __enter__(self) -> Connection:
        self._ssh += self._missing_defaults()
        # ssh's socket lies there, and its path may have about 100 characters.
        place = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"
        self._scratch = tempfile.TemporaryDirectory(prefix="softdpu-", dir=place)
        try:
            self._connect()
        except BaseException:
            self._scratch.cleanup()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()
        self._scratch.cleanup()

    def _missing_defaults(self) -> list[str]:
        """Return options for what neither the caller nor the user's configuration sets."""
        known = subprocess.run([*self._ssh, "-G", self.address], capture_output=True, text=True, check=False)
        if known.returncode:
            raise SoftdpuError(f"ssh does not accept its options: {last_line(known.stderr)}; see deploy.ssh_options")
        values = dict(line.split(" ", 1) for line in known.stdout.splitlines() if " " in line)
        chosen = [f"{key}={ours}" for key, (unset, ours) in _DEFAULTS.items() if values.get(key, unset) == unset]
        return [word for option in chosen for word in ("-o", option)]

    def _connect(self) -> None:
        """Start the session that the others go through. It ends with its input, and so with this program."""
        self._ssh += ["-S", f"{self._scratch.name}/ssh", "-T"]
        self._ssh += ["-o", "LogLevel=INFO", "-o", "RemoteCommand=none", "-o", "ClearAllForwardings=yes"]
        said = Path(self._scratch.name, "stderr")
        with open(said, "wb") as stderr:
            command = [*self._ssh, "-M", self.address, f"printf '%s\\n' '{_READY.decode().strip()}'; exec cat"]
            self._master = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        if not self._wait_for_greeting():
            self._hang_up()
            raise SoftdpuError(explain(said.read_text(encoding="utf-8", errors="replace"), self.address))
        self._ssh += ["-o", "ControlMaster=no"]

    def _wait_for_greeting(self) -> bool:
        """Wait for the board's first line, behind whatever its login prints; it is given time for a password."""
        assert self._master.stdout
        impatience = threading.Timer(PATIENCE, self._master.kill)
        impatience.daemon = True
        impatience.start()
        try:
            said = b""
            for _ in range(MOST_LINES):
                line = self._master.stdout.readline(LONGEST_LINE)
                said = (said + line)[-2 * LONGEST_LINE :]
                if not line or said.endswith(_READY):
                    return bool(line)
            return False
        finally:
            impatience.cancel()

    def _hang_up(self) -> None:
        assert self._master.stdin and self._master.stdout
        self._master.stdin.close()
        try:
            self._master.wait(10)
        except subprocess.TimeoutExpired:
            self._master.kill()
            self._master.wait()
        self._master.stdout.close()

    @property
    def remote_shell(self) -> str:
        """The command that rsync's option -e takes."""
        return shlex.join(self._ssh)

    def run(
        self, command: str, stdin: str = "", timeout: float = PATIENCE, limit: int = MOST
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the board and return its exit code, output and errors.

        Raises:
            SoftdpuError: the connection broke, the command did not end within `timeout` seconds, or it printed more
                than `limit` bytes.
        """
        line = [*self._ssh, self.address, command]
        done = collect(line, stdin, self.address, timeout, limit)
        if done.returncode == 255:
            raise SoftdpuError(self.broken(done.stderr))
        return done

    def start(self, command: str, **pipes: IO[bytes] | int | None) -> subprocess.Popen[bytes]:
        """Start a shell command on the board; `pipes` are those of subprocess.Popen."""
        return subprocess.Popen([*self._ssh, self.address, command], **pipes)  # type: ignore[call-overload]

    def broken(self, said: str) -> str:
        """Return the one line for a connection that broke, from what ssh said."""
        return f"the connection to {self.address} broke ({last_line(said) or 'no reason given'}): start again"


def collect(
    command: Sequence[str],
    stdin: str,
    address: str,
    timeout: float | None = None,
    limit: int = MOST,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command that a board answers, and return its exit code, output and errors.

    Raises:
        SoftdpuError: it did not end within `timeout` seconds, or printed more than `limit` bytes.
    """
    with tempfile.TemporaryFile() as given:
        given.write(stdin.encode())
        given.seek(0)
        process = subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    said: dict[str, bytes] = {}
    too_much = threading.Event()

    def read(name: str, pipe: IO[bytes]) -> None:
        said[name] = pipe.read(limit + 1)
        if len(said[name]) > limit:
            too_much.set()
            process.kill()

    assert process.stdout and process.stderr
    pipes = {"output": process.stdout, "errors": process.stderr}
    readers = [threading.Thread(target=read, args=pair, daemon=True) for pair in pipes.items()]
    for reader in readers:
        reader.start()
    drain = 10.0  # seconds for what the process started, which may hold its pipes open
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise SoftdpuError(f"{address} did not answer within {timeout:g} s: switch it off and on") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
            drain = 0.5
        for reader in readers:
            reader.join(drain)
    for reader, pipe in zip(readers, pipes.values(), strict=True):
        if not reader.is_alive():
            pipe.close()
    if too_much.is_set():
        raise SoftdpuError(f"{address} answers with more than {limit >> 10} KiB: that is no answer of a board's tools")
    output, errors = (_decode(said.get(name, b"")) for name in pipes)
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors)


def _decode(said: bytes) -> str:
    return said.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")


def last_line(said: str) -> str:
    """Return the last line that is not empty, printable and not too long."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return one_line(lines[-1], 300) if lines else ""


def explain(said: str, address: str) -> str:
    """Return in one line why there is no connection, from what ssh said."""
    host = address.rpartition("@")[2]
    for pattern, text in _REASONS:
        match = re.search(pattern, said)
        if match:
            return text.format(address=address, host=host, said=one_line(match[0], 300))
    return f"no connection to {address}: {last_line(said) or 'ssh gave no reason'}"


_REASONS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key of {host} is not the one that this machine knows: its SD card was written anew, or another"
        " machine answers at that address. If you expect that: ssh-keygen -R {host} (with -f and [host]:port as ssh"
        " names them), then ssh {address} once",
    ),
    (
        r"Host key verification failed",
        "the host key of {host} is not known here yet: ssh {address} once, compare the key that it shows with the"
        " board's, and say yes",
    ),
    (
        r"Permission denied \(.*\)|Too many authentication failures",
        "{address} does not let you in: wrong user, key or password ({said}). AMD's images have the user root with the"
        " password root; ssh-copy-id {address} spares the password from then on",
    ),
    (
        r"Could not resolve hostname|Name or service not known",
        "no machine is called {host}: give the board's address, which ifconfig shows on its serial console",
    ),
    (
        r"Connection refused",
        "{host} refuses the connection: it is on, but no ssh server listens there (deploy.port sets another port)",
    ),
    (
        r"Connection timed out|No route to host|Network is unreachable|Host is down|timed out during banner exchange",
        "{host} does not answer ({said}): is the board on, its cable plugged, its address right (ifconfig on its serial"
        " console), and this machine in the same network?",
    ),
)
