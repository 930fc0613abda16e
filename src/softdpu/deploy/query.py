"""What a board says about itself: machine, Python, versions of AMD's libraries, and the fingerprint of its DPU.

`xdputil query` is on AMD's images since Vitis AI 1.3, show_dpu comes with the same runtime, dexplorer is older.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from softdpu.deploy.connection import Connection, last_line
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.xmodel import fingerprint as fingerprints

MODULES = ("numpy", "cv2", "google.protobuf.internal.builder", "ai_edge_litert")

_FIND_MODULES = f"""\
import importlib.util, sys
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False
print("%d.%d" % sys.version_info[:2], *filter(there, {MODULES}))
"""
_PATIENCE = 120.0  # seconds; xdputil on a DPU that hangs never ends
_MOST = 1 << 20  # bytes of all answers
_MOST_CORES = 64

# Each answer follows a line with its name; a tool that is missing or fails leaves it empty.
_QUESTIONS = {
    "machine": "uname -m",
    "system": "( . /etc/os-release && echo $PRETTY_NAME )",
    "rsync": "command -v rsync",
    "python": f"python3 -c {shlex.quote(_FIND_MODULES)}",
    "dpu": "xdputil query || show_dpu || dexplorer -w",
}


@dataclass(frozen=True)
class Board:
    """What a board says about itself.

    Attributes:
        machine: such as aarch64. system: name of its Linux.
        python: (major, minor), (0, 0) without Python. modules: those of MODULES that its Python finds.
        rsync: whether it has rsync.
        fingerprints: of its DPU cores, each once; empty where it does not tell.
        cores: DPU cores. vitis_ai: version of AMD's runtime, such as 3.0; empty where unknown.
    """

    machine: str
    system: str
    python: tuple[int, int]
    modules: frozenset[str]
    rsync: bool
    fingerprints: tuple[int, ...]
    cores: int
    vitis_ai: str

    def text(self) -> str:
        """Return the line for people."""
        dpus = ", ".join(f"{_name_board(number)} ({number:#x})" for number in self.fingerprints)
        dpu = f"{self.cores} DPU core{'s' * (self.cores != 1)}: {dpus}" if dpus else "it tells of no DPU"
        vitis_ai = f", Vitis AI {self.vitis_ai}" if self.vitis_ai else ""
        python = ".".join(map(str, self.python)) if any(self.python) else "none"
        return f"{self.system or 'Linux'} on {self.machine}, Python {python}{vitis_ai}; {dpu}"


def ask(connection: Connection) -> Board:
    """Ask a board, in one command.

    Raises:
        SoftdpuError: the connection broke, or the board's tools hang.
    """
    script = "\n".join(f"echo; echo '@@{name}'; ( {command} ) 2>/dev/null" for name, command in _QUESTIONS.items())
    return read(connection.run("exec sh -s", script + "\ntrue\n", timeout=_PATIENCE, limit=_MOST).stdout)


def read(reply: str) -> Board:
    """Return what the answers of a board say, behind whatever its login prints; what is no answer counts as none."""
    parts = re.split(r"^@@(\w+)$", reply, flags=re.M)
    answers = {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True) if name in _QUESTIONS}
    python = re.findall(r"^(\d{1,2})\.(\d{1,3})((?: [\w.]+)*)\s*$", answers.get("python", ""), re.M | re.A)
    major, minor, modules = python[-1] if python else ("0", "0", "")
    numbers, cores, vitis_ai = read_dpu(answers.get("dpu", ""))
    return Board(
        last_line(answers.get("machine", ""))[:40],
        last_line(answers.get("system", ""))[:100],
        (int(major), int(minor)),
        frozenset(modules.split()) & set(MODULES),
        bool(answers.get("rsync")),
        numbers,
        cores,
        vitis_ai,
    )


def read_dpu(reply: str) -> tuple[tuple[int, ...], int, str]:
    """Return (fingerprints, DPU cores, Vitis AI version) from what xdputil, show_dpu or dexplorer printed.

    xdputil prints JSON, between lines of logging: {"DPU IP Spec": ..., "VAI Version": {library: text}, "kernels":
    [{"fingerprint": "0x..."}]}. show_dpu prints a line with "fingerprint = 0x..." a core. dexplorer tells none.
    """
    found = re.findall(r'fingerprint["\s]*[=:][\s"]*(0x[0-9a-fA-F]{1,16})(?![0-9a-fA-F])', reply)
    numbers = [number for number in (int(text, 16) for text in found[:_MOST_CORES]) if number]  # softmax has none
    versions = _parse_json(reply).get("VAI Version")
    library = versions.get("libvart-runner.so") if isinstance(versions, dict) else None
    version = re.search(r"Version: (\d{1,2}\.\d{1,2})(?!\d)", library, re.A) if isinstance(library, str) else None
    return tuple(dict.fromkeys(numbers)), len(numbers), version[1] if version else ""


def _parse_json(reply: str) -> dict[str, Any]:
    for start in itertools.islice(re.finditer(r"^\{", reply, re.M), 100):  # between lines of logging
        try:
            value = json.JSONDecoder().raw_decode(reply, start.start())[0]
        except ValueError:
            continue
        except RecursionError:
            break
        return value if isinstance(value, dict) else {}
    return {}


def check_fingerprint(model: int | None, board: tuple[int, ...], name: str) -> str:
    """Return what is worth telling where the fingerprints cannot be compared, "" where they are the same.

    Args:
        model: of the model. board: of the board's DPU cores. name: of the target, such as zcu102.

    Raises:
        SoftdpuError: they differ; the line names both DPUs and what to do.
    """
    if not board or model is None:
        who = "the board does not give the fingerprint of its DPU" if model else "the model has no fingerprint"
        return f"{who}, so it is not known whether they fit"
    if model in board:
        return ""
    raise SoftdpuError(explain_mismatch(model, board[0], name))


def explain_mismatch(model: int, board: int, name: str) -> str:
    """Return the one line for a model that was compiled for another DPU than the board's."""
    ways = [*_compile_again(board, name), *_write_image(model, name)]
    return (
        f"the model is for the DPU {_name_board(model)} ({_say_where(model, name)}), the board has {_name_board(board)}"
        f" ({_say_where(board, name)}); they differ in"
        f" {fingerprints.describe_difference(model, board)}: {', or '.join(ways)}"
    )


def _compile_again(board: int, name: str) -> Iterator[str]:
    """Yield how to compile for the board's DPU."""
    versions = dict(boards.find_boards(board)).get(name)
    if versions:
        yield f'compile again with compile.vitis_ai: "{versions[-1]}" and the compiler of that version'
    else:
        yield f"compile again for the fingerprint {board:#x}"


def _write_image(model: int, name: str) -> Iterator[str]:
    """Yield which SD-card image has the model's DPU."""
    entries = fingerprints.explain(f"{model:#x}")[0]["boards"]
    images: list[str] = next((entry["images"] for entry in entries if entry["target"] == name), [])
    if images:
        yield f"write the image {images[-1]} to the SD card"


def _say_where(number: int, name: str) -> str:
    """Return a fingerprint with where it is found: in which Vitis AI versions of the board, else on which boards."""
    found = dict(boards.find_boards(number))
    where = f"Vitis AI {', '.join(found[name])}" if name in found else ", ".join(found)
    return f"{number:#x}" + (f", {where}" if where else "")


def _name_board(number: int) -> str:
    try:
        return boards.find_dpu(number).name
    except SoftdpuError:
        return "an unknown DPU"
