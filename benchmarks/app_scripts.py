"""AMD's tutorial apps that use xir and vart only, run unmodified: the table of docs/app-scripts.md.

Fetches the scripts from AMD's public repositories into a cache (nothing of them is part of this project), gives each a
small network of its kind, compiled for the board and the Vitis AI version of its branch, and images of the names that
it expects, and compares every number that its runners made with the quantized Keras model. Exits with 1 if a script
failed or a number differs.

Example:
    python benchmarks/app_scripts.py --cache build/app_scripts
    python benchmarks/app_scripts.py --cache build/app_scripts --tutorials ../Vitis-AI-Tutorials --only autoenc
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
from app_scripts_list import SCRIPTS, TUTORIALS, VITIS_AI, Script  # beside this file
from app_scripts_networks import Sampling, build, draw, write_images

from softdpu.compiler import compile_model
from softdpu.keras2.api import keras
from softdpu.quantizer import vitis_quantize

_HEAD = """\
| script | branch | network | board, Vitis AI | images | numbers equal to the Keras model's | what it says |
|---|---|---|---|---|---|---|"""
_SECONDS = 1800


def fetch(script: Script, sources: dict[str, str], cache: Path) -> Path:
    """Return the script's file in the cache, fetched from its repository if it is not there.

    Args:
        sources: by address, a folder or address to take the repository from.
    """
    target = cache / "scripts" / script.branch / script.path
    if not target.is_file():
        source = sources[script.repository]
        if not Path(source).is_dir():
            folder = cache / Path(source).name
            if not folder.is_dir():
                subprocess.run(["git", "clone", "--bare", "--quiet", "--filter=blob:none", source, folder], check=True)
            source = str(folder)
        wanted = f"{script.branch}:{script.path}"
        text = subprocess.run(["git", "-C", source, "show", wanted], check=True, capture_output=True).stdout
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text)
    return target


def quantized(script: Script, cache: Path) -> Path:
    """Return the quantized network of a script, from the cache if another script had it."""
    size = "x".join(map(str, script.shape))
    path = cache / "networks" / f"{script.network.replace(' ', '_')}-{size}-{script.classes}.h5"
    if not path.is_file():
        images = draw(16, script.shape).astype(np.float32) / 127.5 - 1
        model = build(script.network, script.shape, script.classes)
        quantizer = vitis_quantize.VitisQuantizer(model, custom_objects={"Sampling": Sampling})
        path.parent.mkdir(parents=True, exist_ok=True)
        quantizer.quantize_model(calib_dataset=images, calib_batch_size=4).save(path)
    return path


def run(script: Script, program: Path, folder: Path, model: Path) -> str:
    """Run a script in `folder`, with a record of what its runners did, and return the line that says an accuracy."""
    images = draw(script.images, script.shape)
    if script.network != "signal":
        write_images(folder / "images", images, lambda number: script.file_name(number))
    if script.prepare:
        script.prepare(folder, images, script.classes)
    work = folder / "run"
    work.mkdir()
    inside = work if script.beside else folder
    recorder = Path(__file__).with_name("app_scripts_recorder.py")
    options = script.arguments.format(model=model).split()
    command: list[str | Path] = [sys.executable, recorder, folder / "record.npz", program, *options]
    done = subprocess.run(command, cwd=inside, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode or "Traceback" in done.stderr:  # of a thread, which leaves the exit code 0
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    said = [" ".join(line.split()) for line in done.stdout.splitlines()]
    return next((line for line in reversed(said) if any(word in line for word in ("orrect:", "accuracy", "IoU"))), "")


def layer_of(model: Any, tensor: str) -> Any:
    """Return the Keras layer whose result a tensor of the compiled file is: the longest name that it begins with."""
    return max((layer for layer in model.layers if tensor.startswith(layer.name)), key=lambda layer: len(layer.name))


def compare(model: Any, record: Any) -> tuple[int, int]:
    """Return how many of the numbers in a record equal the Keras model's, and how many there are."""
    equal = total = 0
    for kind in sorted({name.split("/")[0] for name in record.files if "/" in name}):
        arrays: dict[str, dict[str, np.ndarray]] = {"input": {}, "output": {}}
        for name in record.files:
            for side, found in arrays.items():
                if name.startswith(f"{kind}/{side}/"):
                    found[name.split("/", 2)[2]] = record[name]
        inputs = {name: layer_of(model, name).output for name in arrays["input"]}
        outputs = {name: layer_of(model, name).output for name in arrays["output"]}
        part = keras.Model(list(inputs.values()), list(outputs.values()))
        values = [
            codes(arrays["input"][name], int(record[f"{kind}/position/{name}"])).reshape(-1, *tensor.shape[1:])
            / np.float32(2.0 ** int(record[f"{kind}/position/{name}"]))
            for name, tensor in inputs.items()
        ]
        for name, want in zip(outputs, part(values) if len(outputs) > 1 else [part(values)], strict=True):
            got = arrays["output"][name].reshape(want.shape)
            if got.dtype == np.int8:
                got = got / np.float32(2.0 ** int(record[f"{kind}/position/{name}"]))
            equal += int((got == want.numpy()).sum())
            total += got.size
    return equal, total


def codes(values: np.ndarray, position: int) -> np.ndarray:
    """Return the numbers that a runner makes of what it is given: int8 as it is, floats cut towards zero, saturated."""
    if values.dtype == np.int8:
        return values
    return np.clip(np.trunc(values.astype(np.float64) * 2.0**position), -128, 127).astype(np.int8)


def row(script: Script, program: Path, cache: Path) -> tuple[str, bool]:
    """Return a script's line of the table, and whether it ran and every number was equal."""
    folder = cache / "runs" / hashlib.sha256(f"{script.branch} {script.path}".encode()).hexdigest()[:12]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    network = quantized(script, cache)
    compile_model(network, script.board, folder / "model.xmodel", vitis_ai=script.version)
    start = [f"`{script.path}`", script.branch, script.network, f"{script.board}, {script.version}"]
    try:
        said = run(script, program.resolve(), folder.resolve(), (folder / "model.xmodel").resolve())
        with np.load(folder / "record.npz") as record, vitis_quantize.quantize_scope():
            model = keras.models.load_model(network, compile=False, custom_objects={"Sampling": Sampling})
            equal, total = compare(model, record)
            count = int(record["calls"])
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return "| " + " | ".join([*start, "", f"failed: {error}", ""]) + " |", False
    share = f"all {total:,}" if equal == total else f"{equal:,} of {total:,}"
    return "| " + " | ".join([*start, str(count), share, said.replace("|", " ")]) + " |", equal == total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for scripts, networks and runs")
    parser.add_argument("--tutorials", default=TUTORIALS, help=f"clone or address (default: {TUTORIALS})")
    parser.add_argument("--vitis-ai", default=VITIS_AI, help=f"clone or address (default: {VITIS_AI})")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="scripts whose path has one of these")
    args = parser.parse_args()
    sources = {TUTORIALS: args.tutorials, VITIS_AI: args.vitis_ai}
    chosen = [script for script in SCRIPTS if any(word in script.path for word in args.only)]
    files = [fetch(script, sources, args.cache) for script in chosen]
    print(_HEAD, flush=True)
    good = True
    for script, program in zip(chosen, files, strict=True):
        line, fine = row(script, program, args.cache)
        good &= fine
        print(line, flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
