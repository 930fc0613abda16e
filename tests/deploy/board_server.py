"""A board for tests: a real OpenSSH server on 127.0.0.1 with keys of its own, its user's home a folder of the test.

Its PATH begins with a folder of stand-ins: AMD's `xdputil`, a `python3` that has this machine's modules, and, where the
board is to have none, an `rsync` that is not there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import google.protobuf
import numpy

SSHD = "/usr/sbin/sshd"
FINGERPRINTS = {"2.0": "0x1000020f6014407", "2.5": "0x101000016010407", "3.0": "0x101000056010407"}

# In the form in which xdputil prints it on a ZCU102, shortened to what tells one board from another.
_XDPUTIL = """\
#!/bin/sh
echo 'WARNING: Logging before InitGoogleLogging() is written to STDERR' >&2
[ "$1" = query ] || exit 2
cat <<'END'
{{
    "DPU IP Spec":{{
        "DPU Core Count":3,
        "IP version":"v4.1.0",
        "generation timestamp":"2022-11-30 19-15-00",
        "regmap":"1to1 version"
    }},
    "VAI Version":{{
        "libvart-runner.so":"Xilinx vart-runner Version: {version}.0-c5d2bd43d951c174185d728b8e5b  2023-01-13 ",
        "libxir.so":"Xilinx xir Version: xir-c5d2bd43d951c174185d728b8e5bcda3869e0b39 2023-01-13-06:52:32",
        "target_factory":"target-factory.{version}.0 c5d2bd43d951c174185d728b8e5bcda3869e0b39"
    }},
    "kernels":[
{kernels}
    ]
}}
END
"""
_KERNEL = """\
        {{
            "DPU Arch":"DPUCZDX8G_ISA1_B4096",
            "DPU Frequency (MHz)":281,
            "cu_idx":{i},
            "fingerprint":"{fingerprint}",
            "is_vivado_flow":false,
            "name":"DPU Core {i}"
        }}"""


def command(path: Path, text: str) -> None:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Server:
    """The server and its board: `home` is where its user lands, `bin` the first folder of its PATH."""

    def __init__(self, folder: Path, *, without_override: bool = False) -> None:
        self.folder, self.home, self.bin = folder, folder / "home", folder / "bin"
        self.home.mkdir(parents=True)
        self.bin.mkdir()
        self.port = free_port()
        self.address = f"{current_user()}@127.0.0.1"
        for name in ("host", "user", "stranger"):
            key(folder / name)
        self.options = [
            f"IdentityFile={folder / 'user'}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={folder / 'known_hosts'}",
            "GlobalKnownHostsFile=/dev/null",
            "BatchMode=yes",
        ]
        self.know()
        self.have_dpu("3.0")
        self._config(without_override)
        self._prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if without_override else []

    def _config(self, without_override: bool) -> None:
        keys = self.folder / "authorized_keys"
        keys.write_text((self.folder / "user.pub").read_text())
        start = self.folder / "session"
        lines = ["#!/bin/sh", f"PATH={self.bin}:$PATH", f"HOME={self.home}", "export PATH HOME", "cd"]
        command(start, "\n".join([*lines, 'exec sh -c "$SSH_ORIGINAL_COMMAND"', ""]))
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.folder / 'host'}\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {keys}\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            f"PermitRootLogin yes\nForceCommand {start}\nMaxStartups 100\n"
        )

    def have_dpu(self, version: str, fingerprint: str | None = None) -> None:
        """Give the board an xdputil that tells a Vitis AI version and its fingerprint."""
        number = fingerprint or FINGERPRINTS[version]
        kernels = ",\n".join(_KERNEL.format(i=i, fingerprint=number) for i in range(3))
        command(self.bin / "xdputil", _XDPUTIL.format(version=version, kernels=kernels))

    def have_python(self, modules: Path) -> None:
        """Give the board a python3 that finds the packages in the folder `modules` and no others, LiteRT not either."""
        path = f"${{PYTHONPATH:+$PYTHONPATH:}}{modules}"
        command(
            self.bin / "python3",
            f'#!/bin/sh\nPYTHONPATH="{path}" SOFTDPU_ENGINE=reference exec "{sys.executable}" -S "$@"\n',
        )

    def have_no_rsync(self) -> None:
        """Take rsync away: a PATH of links to everything else."""
        tools = "sh cat mkdir ls id df dirname uname xargs sha256sum tar wc mv rm find grep test printf sleep env chmod"
        for tool in tools.split():
            (self.bin / tool).symlink_to(shutil.which(tool) or "/bin/false")
        start = self.folder / "session"
        start.write_text(start.read_text().replace(":$PATH", ""))

    def know(self, name: str = "host") -> None:
        """Let the client know the server by the key `name`."""
        kind, data = (self.folder / f"{name}.pub").read_text().split()[:2]
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {data}\n")

    def log_in_with(self, name: str) -> None:
        """Make the client use the key `name`."""
        self.options[0] = f"IdentityFile={self.folder / name}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """Run the server until the block ends."""
        made = os.getuid() == 0 and not os.path.isdir("/run/sshd")
        if made:
            os.mkdir("/run/sshd", 0o755)  # where sshd, run by root, goes while nobody is logged in
        log = (self.folder / "sshd.log").open("wb")
        process = subprocess.Popen(
            [*self._prefix, SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")],
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        try:
            deadline = time.time() + 20
            while not answers(self.port):
                assert process.poll() is None and time.time() < deadline, (self.folder / "sshd.log").read_text()
                time.sleep(0.01)
            yield self
        finally:
            process.terminate()
            process.wait(10)
            log.close()
            if made:
                with contextlib.suppress(OSError):
                    os.rmdir("/run/sshd")

    def arguments(self) -> list[str]:
        """Return how a command line names this board."""
        return ["--board", self.address, "--port", str(self.port), "--ssh-options", *self.options]


def link_modules(folder: Path) -> None:
    """Make `folder` hold this machine's numpy, cv2 and protobuf, and nothing else of it."""
    packages = [Path(str(module.__file__)).parent for module in (numpy, cv2)]
    packages += [*packages[0].parent.glob("numpy.libs"), *packages[1].parent.glob("opencv*.libs")]
    folder.mkdir(parents=True)
    for package in [*packages, Path(str(google.protobuf.__file__)).parents[1]]:
        (folder / package.name).symlink_to(package)


def key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)


def current_user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as found:
        return found.recv(4) == b"SSH-"
    return False
