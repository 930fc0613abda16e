"""Subcommands of softdpu with odd arguments, on files that are damaged, missing, pipes, folders or of another kind."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from mutate import NUMBERS, TEXTS, limited, mutate_bytes, mutate_json
from workers import Door, judge, run

from softdpu.commands import main as commands
from softdpu.errors import SoftdpuError
from softdpu.keras2.api import keras, tf
from softdpu.quantizer import vitis_quantize
from softdpu.training.fit import save

sys.path.insert(0, str(Path(__file__).parents[1] / "vart"))
from small_models import compiled

# What takes long on good files gets damaged ones only; `run` runs the user's own code.
SLOW = ("train", "quantize", "finetune", "evaluate", "doctor")
NAMES = [name for name in commands.COMMANDS if name != "run"]
FILES: dict[str, bytes] = {}
PARSERS: dict[str, list[argparse.ArgumentParser]] = {}


def _prepare(folder: Path) -> None:
    import numpy as np

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    save(model, folder / "float.h5")
    quantized = vitis_quantize.VitisQuantizer(model).quantize_model(calib_dataset=np.zeros((2, 8, 8, 3), np.float32))
    save(quantized, folder / "quant.h5")
    compiled().serialize(str(folder / "net.xmodel"))
    FILES.update((path.name, path.read_bytes()) for path in folder.iterdir() if path.is_file())
    FILES["labels.txt"] = b"cat\ndog\n"
    FILES["arch.json"] = b'{"target": "DPUCZDX8G_ISA1_B4096", "fingerprint": "0x101000056010407"}'
    FILES["dfg.onnx"] = bytes(range(256)) * 4
    for name in NAMES:
        parser = argparse.ArgumentParser()
        module, _, function = commands.COMMANDS[name].module.partition(":")
        getattr(__import__(module, fromlist=["x"]), function)(parser)
        PARSERS[name] = _leaves(parser)
    for name in ("set_intra_op_parallelism_threads", "set_inter_op_parallelism_threads"):
        setattr(tf.config.threading, name, lambda _: None)  # a process can do it once only
    assert commands.main(["inspect", str(folder / "float.h5"), "--target", "zcu102"]) == 0


def _leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                inner.prog = name
            return list(action.choices.values())
    parser.prog = ""
    return [parser]


def _make(rng: random.Random, folder: Path) -> list[str]:
    name = rng.choice(NAMES)
    for file, data in FILES.items():
        text = data.decode("utf-8", "replace")
        damaged = mutate_json(json.loads(text), rng).encode("utf-8", "replace") if file.endswith("json") else data
        if name in SLOW:  # a file that is cut off is never good; with a good one TensorFlow would compute, in a fork
            damaged = damaged[: rng.randrange(len(damaged))]
        good = name not in SLOW and rng.random() < 0.6
        (folder / file).write_bytes(data if good else mutate_bytes(damaged, rng))
    (folder / "records").mkdir()
    (folder / "records" / "data_0.tfrecord").write_bytes(mutate_bytes(b"\x08" + bytes(60), rng))
    (folder / "folder.h5").mkdir()
    os.mkfifo(folder / "pipe.h5")
    (folder / "circle.h5").symlink_to("circle.h5")
    parser = rng.choice(PARSERS[name])
    found = [name, *([parser.prog] if parser.prog else [])]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction) and rng.random() < 0.99:
            continue
        if not action.option_strings or action.required or rng.random() < 0.12:
            found += [*action.option_strings[-1:], *_values(rng, action, folder)]
    if rng.random() < 0.1:
        found.insert(rng.randrange(len(found) + 1), rng.choice(TEXTS).replace("\0", ""))
    return found


def _values(rng: random.Random, action: argparse.Action, folder: Path) -> list[str]:
    if action.nargs == 0:
        return []
    if rng.random() < 0.05:
        return [rng.choice((*map(str, NUMBERS), *TEXTS)).replace("\0", "")]
    if action.choices:
        return [str(rng.choice(list(action.choices)))]
    if action.dest in ("output", "report", "summary"):
        return [rng.choice(("out.h5", "out.json", "out.xmodel", "out.onnx", "out.tflite", "folder.h5", "labels.txt/x"))]
    if action.dest == "target":
        return [rng.choice(("zcu102", "zcu102", "kv260", "vck190", "u50", "zcu103", ""))]
    if action.dest == "format":
        return [rng.choice(("xint8", "vint8", "tflite", "png"))]
    if action.type not in (None, Path):
        return [str(rng.choice(NUMBERS if rng.random() < 0.4 else (1, 2, 8)))]
    fitting = {"records": ["records"], "labels": ["labels.txt"], "arch": ["arch.json"], "model": [*FILES]}
    odd = [*FILES, "records", "folder.h5", "pipe.h5", "circle.h5", "missing", "/dev/zero", "/proc/self/mem", "", "8"]
    names = fitting.get(action.dest.replace("train_", "").replace("val_", ""), odd)
    return [rng.choice(names if rng.random() < 0.6 else odd)]


def _take(arguments: list[str]) -> None:
    before = {path.name for path in Path().iterdir()}
    told, printed = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(printed):
            code = commands.main(arguments)
    except SystemExit as error:
        if error.code in (0, 2):
            code = 0 if error.code == 0 else 2
        else:
            raise AssertionError(f"{arguments} ends with {error.code}") from None
    finally:
        left = {path.name for path in Path().iterdir()} - before
        for name in left:
            path = Path(name)
            _remove(path)
    last = told.getvalue().rstrip("\n").split("\n")[-1]
    assert code in (0, 1, 2), (arguments, code)
    compares = arguments[:2] in (["xmodel", "fingerprint"], ["xmodel", "diff"])  # 1 also says that two differ
    if code == 1 and compares and not told.getvalue():
        return
    if code == 1:
        assert last.startswith("error: ") and last.isprintable(), (arguments, told.getvalue()[-500:])
        assert not [name for name in left if name.startswith(".part")], (arguments, left)
    if code:
        raise SoftdpuError(last[-1500:])


def _remove(path: Path) -> None:
    if path.is_dir():
        for inner in path.iterdir():
            _remove(inner)
        path.rmdir()
    else:
        path.unlink()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked")
def test_odd_command_lines_become_one_line(tmp_path: Path) -> None:
    """In a process of its own: TensorFlow does not survive a fork where another test used several devices."""
    here = Path(__file__)
    program = f"import sys; sys.path.insert(0, sys.argv[1]); import {here.stem} as test; test.campaign(sys.argv[2])"
    command = [sys.executable, "-c", program, str(here.parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]


def campaign(folder: str) -> None:
    """Try odd command lines; `folder` is an empty one."""
    judge(run(Door("commands", _make, _take, lambda: _prepare(Path(folder)), (SoftdpuError,), 60), 150))


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "circle", "missing"])
@pytest.mark.parametrize(
    "words",
    [
        ["compile", "--model", "{}", "--target", "zcu102", "--output", "out.xmodel"],
        ["compile", "--model", "labels.txt", "--arch", "{}", "--output", "out.xmodel"],
        ["inspect", "{}", "--target", "zcu102"],
        ["predict", "{}", "--target", "zcu102"],
        ["export", "{}", "--format", "xint8", "--output", "out.onnx"],
        ["import", "{}", "--output", "out.h5"],
        ["xmodel", "show", "{}"],
        ["records", "--kind", "imagenet", "--source", "{}", "--split", "train", "--output", "out"],
    ],
    ids=" ".join,
)
def test_what_is_no_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("circle").symlink_to("circle")
    Path("labels.txt").write_text("cat\n")
    place = "/dev/null" if kind == "device" else kind
    with limited(20):
        assert commands.main([word.format(place) for word in words]) == 1
    assert capsys.readouterr().err.split("\n")[-2].startswith("error: ")
