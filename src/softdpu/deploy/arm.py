"""Running on the board's Arm CPU: softdpu's own vart, xir and runtime, shipped beside the app in the card folder.

The app is started with that folder first on its path, so it finds these modules and not AMD's. They are pure Python;
what they need of the board's Python is checked before.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import softdpu
from softdpu import files
from softdpu.deploy.content import Entry
from softdpu.deploy.query import Board
from softdpu.errors import SoftdpuError
from softdpu.sources import sources

FOLDER = "softdpu_runtime"
_PYTHON = (3, 8)
_NEEDED = ("numpy", "cv2", "google.protobuf")


def entries(scratch: Path) -> dict[str, Entry]:
    """Return the runtime's files by their names on the board, copied to the folder `scratch` first."""
    root = Path(softdpu.__file__).parents[2]
    found = {}
    for source in sources(root / "src" / "vart" / "__init__.py", root):
        name = f"{FOLDER}/{Path(source).relative_to('src').as_posix()}"
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / source, scratch / name)
        found[name] = Entry(scratch / name, (scratch / name).stat().st_size, files.sha256(scratch / name))
    return found


def check_board(board: Board) -> None:
    """See that the board's Python can run softdpu's runtime.

    Raises:
        SoftdpuError: it is too old, or lacks modules.
    """
    missing = [name for name in _NEEDED if name not in board.modules]
    if board.python < _PYTHON:
        has = ".".join(map(str, board.python)) if any(board.python) else "no"
        raise SoftdpuError(f"softdpu's runtime needs Python {'.'.join(map(str, _PYTHON))} on the board, it has {has}")
    if missing:
        raise SoftdpuError(
            f"softdpu's runtime needs Python modules that the board lacks: {', '.join(missing)}; on the board: pip3"
            f" install {' '.join(_PACKAGES[name] for name in missing)}"
        )


_PACKAGES = {"numpy": "numpy", "cv2": "opencv-python-headless", "google.protobuf": "protobuf"}


def settings(litert: bool = False) -> str:
    """Return what stands before the app's command line; `litert` tells whether the board's Python has LiteRT."""
    return f"PYTHONPATH={FOLDER} SOFTDPU_ENGINE={'litert' if litert else 'reference'} "
