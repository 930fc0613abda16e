"""The command `softdpu run`: a script written for AMD's quantizer or for VART, unmodified."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from pathlib import Path

from softdpu.errors import SoftdpuError
from softdpu.output import interrupts

_EXAMPLE = """\
example:
  softdpu run vitis_quant.py --model float.h5 --calib_dir images"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the script and what it takes; `run` of the parsed arguments runs it."""
    parser.description = (
        "Run a Python script that imports AMD's modules (vitis_quantize, vitis_inspect, xir, vart, vitis_ai_library) "
        "with softdpu's in their place, and with Keras 2 as tf.keras. A real package of such a name is never hidden."
    )
    parser.epilog = _EXAMPLE
    parser.add_argument("script", help="the script's file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="the script's own arguments")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the script as `python SCRIPT ARGUMENTS` would."""
    script = Path(args.script)
    if not script.is_file():
        raise SoftdpuError(f"{script}: no such script")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from softdpu.quantizer import amd_names

    amd_names.install()
    interrupts.leave_to_script()
    sys.argv = [str(script), *args.arguments]
    sys.path.insert(0, str(script.resolve().parent))
    runpy.run_path(str(script), run_name="__main__")
    return 0
