"""AMD Quark's own passes for XINT8 and VINT8 find nothing to change in the files.

Quark needs torch and lives in an environment of its own (envs/quark.txt), named by SOFTDPU_QUARK_PYTHON.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softdpu.export.source import Source
from softdpu.export.write import Export, Options

PYTHON = os.environ.get("SOFTDPU_QUARK_PYTHON", sys.executable)
PROGRAM = """
import sys
import onnx
from quark.shapeshifter.passes import onnx_xint8_adjust as adjust

steps = ["align_concat", "align_pool", "align_pad", "align_slice", "adjust_shift_read", "adjust_shift_write"]
steps += ["adjust_shift_cut", "adjust_shift_bias", "adjust_hard_sigmoid", "adjust_shift_swish"]
for path in sys.argv[1:]:
    manager = adjust.QuantPosManager(onnx.load(path))
    changes = []
    manager._set_pos = lambda node, position: changes.append((node.name, position))
    for step in steps:
        getattr(manager, "_" + step)()
    print("changes:", changes)
"""


@pytest.mark.quark
def test_quark_changes_nothing(source: Source, tmp_path: Path) -> None:
    found = subprocess.run([PYTHON, "-c", "import quark.shapeshifter"], capture_output=True)
    if found.returncode:
        pytest.skip("amd-quark is not installed: see envs/quark.txt")
    paths = []
    for form in ("xint8", "vint8"):
        for int8_bias in (True, False):
            paths.append(tmp_path / f"{form}{int8_bias}.onnx")
            Export(source, form, paths[-1], Options(int8_bias=int8_bias))
    done = subprocess.run([PYTHON, "-c", PROGRAM, *map(str, paths)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.count("changes: []") == len(paths), done.stdout[-500:]
