"""A real Slurm on this machine's loopback: one node, no systemd, gone when the tests end."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ETC = Path("/etc/slurm")
MARK = "ClusterName=softdpu_test"
FILES = ("slurm.conf", "gres.conf", "cgroup.conf")
# What the node claims to have, whatever the machine has.
CPUS = 4
MEMORY = 20000  # MiB

_CONF = """\
{mark}
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.socket
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
MessageTimeout=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=600
ReturnToService=2
KillWait=2
MpiDefault=none
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Return why no Slurm can be started here, None if it can."""
    programs = [name for name in ("slurmctld", "slurmd", "munged", "sbatch", "unshare") if shutil.which(name) is None]
    if programs:
        return f"not installed: {', '.join(programs)}"
    if os.getuid() != 0 or not os.access(ETC, os.W_OK):
        return f"{ETC} can be written by root only"
    for file in (ETC / name for name in FILES):
        if os.path.lexists(file) and not _ours(file):
            return f"this machine has a Slurm of its own: {file}"
    return None


def _ours(file: Path) -> bool:
    """Tell whether a file in /etc/slurm is a link that a killed test left."""
    return file.is_symlink() and (not file.exists() or MARK in (file.resolve().parent / "slurm.conf").read_text())


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other test process has a Slurm on this machine."""
    with open(Path(tempfile.gettempdir()) / "softdpu_test_slurm.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Slurm:
    """The cluster's three daemons. They are children of this process, so they also end when it is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hidden = folder / "hidden"  # jobs do not see what is in it, as on a node that does not mount it
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        munge = self.folder / "munge"
        for path in (munge, self.folder / "state", self.folder / "spool", self.hidden):
            path.mkdir(parents=True)
        munge.chmod(0o711)
        key = munge / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        host = socket.gethostname().split(".")[0]
        controller, node = _free_ports(2)
        values = {"mark": MARK, "host": host, "folder": self.folder, "controller": controller, "node": node}
        (self.folder / "slurm.conf").write_text(_CONF.format(**values, cpus=CPUS, memory=MEMORY))
        (self.folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File=/dev/null\n")
        (self.folder / "cgroup.conf").write_text("ConstrainCores=no\nConstrainRAMSpace=no\n")
        for name in FILES:
            (ETC / name).unlink(missing_ok=True)
            (ETC / name).symlink_to(self.folder / name)
        places = [f"--{kind}-file={munge}/{kind}" for kind in ("key", "pid", "log", "seed")]
        self._run("munged", "munged", "--foreground", f"--socket={munge}/munge.socket", *places, "--num-threads=2")
        self._until(lambda: (munge / "munge.socket").exists(), "munged")
        self.start_controller()
        hide = f"mount -t tmpfs none {self.hidden} && exec slurmd -D"
        self._run("slurmd", "unshare", "--mount", "sh", "-c", hide)
        self._until(lambda: self.ask("sinfo", "-h", "-o", "%t") == "idle", "slurmd")

    def start_controller(self) -> None:
        """Start the controller, also after `kill_controller`."""
        self._run("slurmctld", "slurmctld", "-D")
        self._until(lambda: "UP" in self.ask("scontrol", "ping"), "slurmctld")

    def kill_controller(self) -> None:
        self._end("slurmctld", signal.SIGKILL)

    def ask(self, *command: str) -> str:
        """Return what a command of Slurm prints, with errors."""
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        return done.stdout.strip()

    def jobs(self) -> list[dict[str, str]]:
        """Return Slurm's record of every job, in the order of their submission."""
        lines = [line for line in self.ask("scontrol", "--oneliner", "show", "job").splitlines() if "JobId=" in line]
        records = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return sorted(records, key=lambda record: int(record["JobId"]))

    def stop(self) -> None:
        """End all jobs and daemons, whatever their state, and leave /etc/slurm as it was."""
        try:
            if "slurmctld" in self._daemons:
                self.ask("scancel", "--user=root", "--signal=KILL")
                self.ask("scancel", "--user=root")
                deadline = time.monotonic() + 10
                while self.ask("squeue", "-h") and time.monotonic() < deadline:
                    time.sleep(0.2)
        finally:
            for name in list(self._daemons):
                self._end(name, signal.SIGTERM)
            for name in FILES:
                if (ETC / name).is_symlink() and os.readlink(ETC / name) == str(self.folder / name):
                    (ETC / name).unlink()

    def _run(self, name: str, *command: str) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            self._daemons[name] = subprocess.Popen(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, preexec_fn=_end_with_the_parent
            )

    def _until(self, reached: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + 60
        while not reached():
            running = self._daemons[name].poll() is None and time.monotonic() < deadline
            assert running, (self.folder / f"{name}.out").read_text()[-2000:]
            time.sleep(0.1)

    def _end(self, name: str, number: int) -> None:
        daemon = self._daemons.pop(name)
        daemon.send_signal(number)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def _end_with_the_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
