"""Running on the board's Arm CPU: softdpu's own vart, xir and runtime, shipped beside the app in the card folder.

The app is started with that folder first on its path, so it finds these modules and not AMD's. They are pure Python;
what they need of the board's Python is checked before.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import softdpu
from softdpu.deploy.content import Entry
from softdpu.deploy.query import Board
from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.output.sources import find_sources

FOLDER = "softdpu_runtime"
MODULES = ("vart", "vitis_ai_library")  # what an app imports beside xir, which both need
_PYTHON, _PYTHON_OF_LITERT = (3, 8), (3, 10)
# by the module that is looked for, the package that has it; protobuf has this module since 3.20
_NEEDED = {"numpy": "numpy", "cv2": "opencv-python-headless", "google.protobuf.internal.builder": "protobuf>=3.20"}


def list_entries(scratch: Path) -> dict[str, Entry]:
    """Return the runtime's files by their names on the board, copied to the folder `scratch` first."""
    packages = Path(softdpu.__file__).parents[1]
    found = {}
    modules = [packages / name / "__init__.py" for name in MODULES]
    for source in sorted({source for module in modules for source in find_sources(module, packages)}):
        name = f"{FOLDER}/{source.relative_to(packages).as_posix()}"
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, scratch / name)
        found[name] = Entry(scratch / name, (scratch / name).stat().st_size, files.sha256(scratch / name))
    return found


def check_board(board: Board) -> None:
    """See that the board's Python can run softdpu's runtime.

    Raises:
        SoftdpuError: it is too old, or lacks modules.
    """
    missing = [package for module, package in _NEEDED.items() if module not in board.modules]
    if board.python < _PYTHON:
        has = ".".join(map(str, board.python)) if any(board.python) else "no"
        raise SoftdpuError(f"softdpu's runtime needs Python {'.'.join(map(str, _PYTHON))} on the board, it has {has}")
    if missing:
        raise SoftdpuError(
            f"softdpu's runtime needs Python packages that the board lacks: {', '.join(missing)}; on the board: pip3"
            f" install {shlex.join(missing)}"
        )


def read_settings(board: Board | None = None) -> str:
    """Return what stands before the app's command line: the fast engine for a board that is known to have LiteRT."""
    fast = board is not None and "ai_edge_litert" in board.modules and board.python >= _PYTHON_OF_LITERT
    return f"PYTHONPATH={FOLDER} SOFTDPU_ENGINE={'litert' if fast else 'reference'} "
